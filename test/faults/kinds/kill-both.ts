import { signal } from '../../support/service.ts';
import { EVERYWHERE, type Fault } from '../fault.ts';

/** SIGKILL of the service and the engine at one moment, in either order: what a power cut does to processes. */
export const killBoth: Fault = {
  kind: 'kill-both',
  houses: EVERYWHERE,
  async inject(scene) {
    const engine = await scene.enginePid();
    const kills = [() => signal(engine, 'SIGKILL'), () => scene.service.kill('SIGKILL')];
    for (const kill of scene.random.shuffled(kills)) kill();
    await scene.restart();
  },
};
