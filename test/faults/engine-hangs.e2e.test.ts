import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { expectWhole } from '../support/expect-whole.ts';
import { Load } from '../support/load.ts';
import { Random } from '../support/random.ts';
import { ServiceFolder, signal } from '../support/service.ts';
import { until } from '../support/until.ts';

let folder: ServiceFolder;
beforeEach(async () => {
  folder = await ServiceFolder.make();
});
afterEach(() => folder.remove());

test('while the engine hangs, nothing is acknowledged; when it goes on, so does recording', async () => {
  const service = await folder.start();
  const load = new Load(new Random(61));
  load.start(service);
  await until(() => load.oracle.acknowledged, (n) => n > 50);
  await load.stop();
  const engine = await service.enginePid();
  // Stopped, not dead: it neither answers nor comes back.
  signal(engine, 'SIGSTOP');
  try {
    expect(await service.send('/healthz')).toMatchObject({ status: 200 });
    const before = load.oracle.acknowledged;
    load.start(service);
    await until(() => load.oracle.sent, (n) => n > before);
    // Long for an insert, short for a reader of tests.
    await sleep(500);
    expect(load.oracle.acknowledged).toBe(before);
  } finally {
    signal(engine, 'SIGCONT');
  }
  await until(() => load.oracle.acknowledged, (n) => n > 100, 20_000);
  await load.stop();
  await expectWhole(load, service);
});
