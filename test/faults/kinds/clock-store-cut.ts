import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import { clock } from './clock.ts';

/** So long takes an INSERT, for others to gather behind it. */
const GATHER_MS = 150;
const JUMP_EVERY_MS = 4;
const HOUR_MS = 3_600_000;
const OFFSETS_MS = [0, -50, -HOUR_MS];
const WAIT_MS_MAX = 60_000;

/**
 * The clock jumps while events gather, and then the answer to their INSERT is lost: they must be found again, whatever
 * they say of their time.
 */
export const clockStoreCut: Fault = {
  kind: 'clock-store-cut',
  houses: ['behind-proxy'],
  preload: clock.preload as URL,
  async inject({ proxy, random, service }) {
    let inserts = 0;
    proxy.treat = ({ insertsInto }) => {
      if (insertsInto !== 'events') return 'pass';
      inserts++;
      return inserts === 1 ? { delayMs: GATHER_MS } : inserts === 2 ? 'cut-answer' : 'pass';
    };
    const deadline = Date.now() + WAIT_MS_MAX;
    while (inserts < 2) {
      if (Date.now() > deadline) throw new Error('nothing was inserted');
      service.tell({ clockOffsetMs: random.pick(OFFSETS_MS) });
      await sleep(JUMP_EVERY_MS);
    }
    service.tell({ clockOffsetMs: 0 });
    proxy.release();
  },
};
