import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../fault.ts';

const DELAY_MS_MAX = 300;
const SLOW_MS = 1_000;

/** Every request to ClickHouse takes long, some longer than others, so that later ones overtake. */
export const storeSlow: Fault = {
  kind: 'store-slow',
  houses: ['behind-proxy'],
  async inject({ proxy, random }) {
    proxy.treat = () => ({ delayMs: random.int(DELAY_MS_MAX) });
    await sleep(SLOW_MS);
    proxy.release();
  },
};
