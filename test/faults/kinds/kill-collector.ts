import { EVERYWHERE, type Fault } from '../fault.ts';

/** SIGKILL of the service. Its engine notices by itself that it is alone, perhaps after the next service has started. */
export const killCollector: Fault = {
  kind: 'kill-collector',
  houses: EVERYWHERE,
  async inject(scene) {
    scene.service.kill('SIGKILL');
    await scene.restart();
  },
};
