import { setTimeout as sleep } from 'node:timers/promises';
import { signal } from '../../support/service.ts';
import { EVERYWHERE, type Fault } from '../fault.ts';

const HANGS_MS_MAX = 1_000;

/** The engine stands still for a while: it neither answers nor is it gone. */
export const engineHangs: Fault = {
  kind: 'engine-hangs',
  houses: EVERYWHERE,
  async inject(scene) {
    const engine = await scene.enginePid();
    signal(engine, 'SIGSTOP');
    try {
      await sleep(scene.random.int(HANGS_MS_MAX));
      const { status } = await scene.service.send('/healthz');
      if (status !== 200) throw new Error(`the service says of itself that it is not alive (${status}) while its engine hangs`);
    } finally {
      signal(engine, 'SIGCONT');
    }
  },
};
