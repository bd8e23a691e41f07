import { EVERYWHERE, type Fault } from '../fault.ts';

/** Requests under way are cut after 5 s. */
const STOPS_WITHIN_MS = 15_000;

/** SIGTERM or SIGINT in the middle of load: it ends in order and soon. */
export const stop: Fault = {
  kind: 'stop',
  houses: EVERYWHERE,
  async inject(scene) {
    const begin = performance.now();
    scene.service.kill(scene.random.pick(['SIGTERM', 'SIGINT']));
    // Even where it ended badly, there is a record to look at.
    const { code, signal } = await scene.service.exited;
    const ms = performance.now() - begin;
    await scene.restart();
    if (code !== 0) throw new Error(`the service stopped with exit code ${code}, signal ${signal}`);
    if (ms > STOPS_WITHIN_MS) throw new Error(`the service took ${Math.round(ms)} ms to stop`);
  },
};
