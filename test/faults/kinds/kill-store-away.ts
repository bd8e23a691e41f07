import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../fault.ts';

const AWAY_MS_MAX = 1_000;

/** SIGKILL of the service while ClickHouse has been away for a while: whatever was waiting for it must be there afterwards. */
export const killStoreAway: Fault = {
  kind: 'kill-store-away',
  houses: ['behind-proxy'],
  async inject(scene) {
    await scene.proxy.close();
    await sleep(scene.random.int(AWAY_MS_MAX));
    scene.service.kill('SIGKILL');
    await scene.restart(() => scene.proxy.reopen());
  },
};
