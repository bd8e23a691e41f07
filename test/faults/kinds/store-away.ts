import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../fault.ts';

const AWAY_MS_MAX = 1_500;

/** ClickHouse cannot be reached for a while: connections are refused, or taken and never answered. */
export const storeAway: Fault = {
  kind: 'store-away',
  houses: ['behind-proxy'],
  async inject({ proxy, random }) {
    const refuses = random.chance(0.5);
    if (refuses) await proxy.close();
    else proxy.treat = () => 'hang';
    await sleep(random.int(AWAY_MS_MAX));
    if (refuses) await proxy.reopen();
    else proxy.release();
  },
};
