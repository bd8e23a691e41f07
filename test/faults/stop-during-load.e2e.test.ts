import { afterEach, beforeEach, expect, test } from 'vitest';
import { expectWhole } from '../support/expect-whole.ts';
import { CONTENT, Load } from '../support/load.ts';
import { NOTHING_WRONG } from '../support/oracle.ts';
import { Random } from '../support/random.ts';
import { isAlive, ServiceFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

let folder: ServiceFolder;
beforeEach(async () => {
  folder = await ServiceFolder.make();
});
afterEach(() => folder.remove());

test('SIGTERM during load: exit code 0 within 10 s, and every acknowledged event is there afterwards', async () => {
  const service = await folder.start();
  const engine = await service.enginePid();
  const load = new Load(new Random(21));
  load.start(service);
  await until(() => load.oracle.acknowledged, (n) => n > 500);
  const begin = performance.now();
  service.kill('SIGTERM');
  expect(await service.exited).toEqual({ code: 0, signal: null });
  // Less than the 5 s after which requests under way are cut: busy connections must not hold up the stop.
  expect(performance.now() - begin).toBeLessThan(4_500);
  await load.stop();
  expect(await isAlive(engine)).toBe(false);
  await expect(service.get('/healthz')).rejects.toThrow('ECONNREFUSED');

  const next = await folder.start();
  expect(await load.check(next)).toEqual({ ...NOTHING_WRONG, holes: 0 });
  await expectWhole(load, next);
  expect(service.log).toContain('"msg":"stopped"');
  for (const secret of [CONTENT, folder.adminKey]) expect(service.log).not.toContain(secret);
});

test('SIGINT stops it too, and further signals do not cut that short', async () => {
  const service = await folder.start();
  const load = new Load(new Random(22));
  load.start(service);
  await until(() => load.oracle.acknowledged, (n) => n > 100);
  service.kill('SIGINT');
  service.kill('SIGTERM');
  service.kill('SIGINT');
  expect(await service.exited).toEqual({ code: 0, signal: null });
  await load.stop();
  const next = await folder.start();
  expect(await load.check(next)).toEqual({ ...NOTHING_WRONG, holes: 0 });
});
