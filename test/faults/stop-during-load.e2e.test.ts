import { afterEach, beforeEach, expect, test } from 'vitest';
import { NOTHING_WRONG } from '../support/oracle.ts';
import { Random } from '../support/random.ts';
import { isAlive } from '../support/service.ts';
import { Scene } from './scene.ts';

const WITHIN_MS = 10_000;

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open({ house: 'embedded', random: new Random(21) });
});
afterEach(() => scene.close());

test('SIGTERM during load: exit code 0 within 10 s, nothing runs on, and every acknowledged event is there afterwards', async () => {
  await scene.load.progress(300);
  const { service } = scene;
  const engine = await scene.enginePid();
  const begin = performance.now();
  service.kill('SIGTERM');
  expect(await service.exited).toEqual({ code: 0, signal: null });
  expect(performance.now() - begin).toBeLessThan(WITHIN_MS);
  expect(await isAlive(engine)).toBe(false);
  await expect(service.get('/healthz')).rejects.toThrow('ECONNREFUSED');
  expect(service.log).toContain('"msg":"stopped"');

  await scene.restart();
  expect(await scene.checkEverything()).toEqual(NOTHING_WRONG);
  expect(scene.leaks()).toEqual([]);
});

test('SIGINT stops it too, and further signals do not cut that short', async () => {
  await scene.load.progress(100);
  const { service } = scene;
  service.kill('SIGINT');
  service.kill('SIGTERM');
  service.kill('SIGINT');
  expect(await service.exited).toEqual({ code: 0, signal: null });
  await scene.restart();
  expect(await scene.checkEverything()).toEqual(NOTHING_WRONG);
});
