import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../support/until.ts';
import type { Fault } from '../fault.ts';
import { clock } from './clock.ts';

/** So long takes an INSERT, for others to gather behind it. */
const GATHER_MS = 300;
/** Every client has sent something by then. */
const JUMPS_WITHIN_MS = 60;
const INSERT_MS = 60_000;
const HOUR_MS = 3_600_000;
const MEANWHILE_EVENTS = 40;

/** The clock jumps while events gather, and then the answer to their INSERT is lost: they must be found again by what they say of their time. */
export const clockStoreCut: Fault = {
  kind: 'clock-store-cut',
  houses: ['behind-proxy'],
  preload: clock.preload as URL,
  async inject(scene) {
    const { load, proxy, random } = scene;
    let inserts = 0;
    proxy.treat = ({ insertsInto }) => {
      if (insertsInto !== 'events') return 'pass';
      inserts++;
      return inserts === 1 ? { delayMs: GATHER_MS } : inserts === 2 ? 'cut-answer' : 'pass';
    };
    await until(() => inserts, (n) => n > 0, INSERT_MS);
    await sleep(random.int(JUMPS_WITHIN_MS));
    scene.clockOffsetMs = random.pick([-HOUR_MS, HOUR_MS]);
    scene.service.tell({ clockOffsetMs: scene.clockOffsetMs });
    await until(() => inserts, (n) => n > 1, INSERT_MS);
    proxy.release();
    await load.progress(MEANWHILE_EVENTS);
    scene.clockOffsetMs = 0;
    scene.service.tell({ clockOffsetMs: 0 });
  },
};
