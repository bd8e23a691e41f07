import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { expectWhole } from '../support/expect-whole.ts';
import { Load } from '../support/load.ts';
import { NOTHING_WRONG } from '../support/oracle.ts';
import { Random } from '../support/random.ts';
import { ServiceFolder, signal } from '../support/service.ts';
import { until } from '../support/until.ts';

let folder: ServiceFolder;
beforeEach(async () => {
  folder = await ServiceFolder.make();
});
afterEach(() => folder.remove());

/** Under load, and then some: the moment of death is any moment of an insert. */
async function untilLoaded(load: Load, random: Random): Promise<void> {
  const before = load.oracle.acknowledged;
  await until(() => load.oracle.acknowledged, (n) => n > before + 100, 20_000);
  await sleep(random.int(120));
}

test('SIGKILL of the service', async () => {
  const random = new Random(31);
  const load = new Load(random);
  let service = await folder.start();
  for (let cycle = 0; cycle < 2; cycle++) {
    load.start(service);
    await untilLoaded(load, random);
    service.kill('SIGKILL');
    await load.stop();
    await service.exited;
    // At once, as whoever watches over services does: its engine may not have noticed yet.
    service = await folder.start();
    expect(await load.check(service)).toEqual({ ...NOTHING_WRONG, holes: 0 });
  }
  await expectWhole(load, service);
});

test('SIGKILL of the service and the engine together', async () => {
  const random = new Random(41);
  const load = new Load(random);
  let service = await folder.start();
  for (let cycle = 0; cycle < 2; cycle++) {
    const engine = await service.enginePid();
    load.start(service);
    await untilLoaded(load, random);
    if (random.chance(0.5)) {
      signal(engine, 'SIGKILL');
      service.kill('SIGKILL');
    } else {
      service.kill('SIGKILL');
      signal(engine, 'SIGKILL');
    }
    await load.stop();
    await service.exited;
    service = await folder.start();
    expect(await load.check(service)).toEqual({ ...NOTHING_WRONG, holes: 0 });
  }
  await expectWhole(load, service);
});

test('SIGKILL of the engine: the service starts it again, and recording goes on', async () => {
  const random = new Random(51);
  const load = new Load(random);
  const service = await folder.start();
  load.start(service);
  for (let cycle = 0; cycle < 2; cycle++) {
    await untilLoaded(load, random);
    const engine = await service.enginePid();
    signal(engine, 'SIGKILL');
    await until(() => service.enginePid(), (pid) => pid !== engine, 20_000);
    // Without anybody's doing.
    const before = load.oracle.acknowledged;
    await until(() => load.oracle.acknowledged, (n) => n > before + 50, 20_000);
  }
  await load.stop();
  await until(async () => (await service.send('/readyz')).status, (status) => status === 200);
  await expectWhole(load, service);
  // Refused at most, for a while; never an error of ours.
  expect([...load.refusals.keys()].filter((status) => status !== 503 && status !== 429)).toEqual([]);
});
