import { EVERYWHERE, type Fault } from '../fault.ts';

/** SIGKILL of the engine; it is started again without the test's doing. */
export const killEngine: Fault = {
  kind: 'kill-engine',
  houses: EVERYWHERE,
  inject: (scene) => scene.killEngine(),
};
