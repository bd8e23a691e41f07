import type { Scene } from '../scene.ts';
import { EVERYWHERE, type Fault } from '../fault.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
/** Ahead, behind, and so little behind that nobody would notice. */
const OFFSETS_MS = [YEAR_MS, -YEAR_MS, HOUR_MS, -HOUR_MS, -50];
/** Recorded under the wrong clock before it is set right. */
const MEANWHILE_EVENTS = 40;

/** The clock of the service jumps, while it runs or while it is down, and back again. */
export const clock: Fault = {
  kind: 'clock',
  houses: EVERYWHERE,
  preload: new URL('../preload/shift-clock.ts', import.meta.url),
  async inject(scene) {
    for (const offsetMs of [scene.random.pick(OFFSETS_MS), 0]) {
      await set(scene, offsetMs);
      await scene.load.progress(MEANWHILE_EVENTS);
    }
  },
};

async function set(scene: Scene, offsetMs: number): Promise<void> {
  scene.clockOffsetMs = offsetMs;
  if (scene.random.chance(0.5)) {
    scene.service.tell({ clockOffsetMs: offsetMs });
    return;
  }
  scene.service.kill('SIGKILL');
  await scene.restart();
}
