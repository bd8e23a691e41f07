import { rmSync } from 'node:fs';
import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { expectLogged, openTestLogs, TestSigner } from '../../../test/support/event-logs.ts';
import { Random } from '../../../test/support/random.ts';
import { base, finish, onInsert, some, start, type Started, STORED, stored, test, unique } from '../../../test/support/recorders.ts';
import { until } from '../../../test/support/until.ts';
import type { EventLogs } from '../../tlog/src/event-logs.ts';

/** What the next run goes on with. */
interface Left {
  readonly started: Started;
  readonly signer: TestSigner;
  readonly folder: string;
}

interface Logged extends Left {
  readonly logs: EventLogs;
  readonly lines: string[];
  stop(): Promise<void>;
}

async function startLogged(after?: Left): Promise<Logged> {
  const collectorId = after?.started.collectorId ?? unique('c');
  const folder = after?.folder ?? join(base, `${collectorId}-logs`);
  const signer = after?.signer ?? new TestSigner();
  const lines: string[] = [];
  const logs = await openTestLogs({ folder, collectorId, store: test.store, signer, log: pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }) });
  const started = await start({ collectorId, logs, ...(after === undefined ? {} : { after: after.started }) });
  return {
    started, logs, signer, folder, lines,
    stop: async () => {
      await started.stop();
      await logs.stop();
    },
  };
}

const check = ({ logs, signer, started }: Logged, tenant: string, missing?: readonly number[]): Promise<void> =>
  expectLogged(logs, test.store, signer, tenant, started.collectorId, missing);

it('every recorded event is in the log of its tenant, in the order of recording, and no refused or repeated one', async () => {
  const first = await startLogged();
  const [a, b] = [unique('t'), unique('t')];
  const events = some(300);
  await first.started.learned();
  await first.started.record(a, events.slice(0, 200));
  await first.started.record(b, events.slice(0, 7));
  await first.started.record(a, events.slice(150, 300), STORED);
  await first.logs.settled();
  await check(first, a);
  await check(first, b);
  expect(first.logs.size(a)).toBe(300);
  await first.stop();

  const second = await startLogged(first);
  await second.started.record(a, some(5), STORED);
  await second.stop();
  await check(second, a);
  expect(second.logs.size(a)).toBe(305);
});

it('what the log has not got it reads from the record, at the start and while it runs', async () => {
  const before = await start();
  const tenant = unique('t');
  await before.record(tenant, some(900), STORED);
  await before.stop();
  const after = await startLogged({ started: before, folder: join(base, `${before.collectorId}-logs`), signer: new TestSigner() });
  await after.started.record(tenant, some(20), STORED);
  await after.logs.settled();
  await check(after, tenant);
  // The disk of the log fails: what was written since the last checkpoint is made again.
  const level = join(after.folder, `${tenant}@${before.collectorId}`, 'level-0');
  const kept = await readFile(level);
  await rm(level);
  await writeFile(level, kept);
  await after.started.record(tenant, some(20), STORED);
  await after.stop();
  await check(after, tenant);
});

it('a torn end behind the checkpoint is made again', async () => {
  const first = await startLogged();
  const tenant = unique('t');
  await first.started.record(tenant, some(50), STORED);
  await first.stop();
  await appendFile(join(first.folder, `${tenant}@${first.started.collectorId}`, 'level-0'), 'torn');
  const second = await startLogged(first);
  await second.started.record(tenant, some(3), STORED);
  await second.stop();
  await check(second, tenant);
});

it('what could not be synced is never signed for; it is read again', async () => {
  const now = await startLogged();
  let tenant: string;
  // Before its first checkpoint, which comes when it comes.
  do {
    tenant = unique('t');
    await now.started.record(tenant, some(50), STORED);
    await until(() => now.logs.size(tenant), (size) => size === 50);
  } while (now.logs.view(tenant, now.started.collectorId)?.checkpoint !== undefined);
  rmSync(join(now.folder, `${tenant}@${now.started.collectorId}`, 'level-0'));
  await now.logs.settled();
  await until(() => now.logs.view(tenant, now.started.collectorId)?.checkpoint?.size, (size) => size === 50);
  expect(now.lines.join('')).toContain('a checkpoint could not be signed or stored');
  await now.stop();
  await check(now, tenant);
});

it('an event that is gone before it was put into the log leaves a place that says so', async () => {
  const before = await start();
  const tenant = unique('t');
  await before.record(tenant, some(10), STORED);
  await before.stop();
  await test.store.command('ALTER TABLE events DELETE WHERE tenant = {tenant: String} AND log_index IN (3, 4, 7) SETTINGS mutations_sync = 2', { tenant });
  const after = await startLogged({ started: before, folder: join(base, `${before.collectorId}-logs`), signer: new TestSigner() });
  await after.logs.settled();
  await after.stop();
  await check(after, tenant, [3, 4, 7]);
});

it('a place that the log gave is not given again when the record was set back', async () => {
  const first = await startLogged();
  const tenant = unique('t');
  await first.started.record(tenant, some(10), STORED);
  await first.stop();
  await test.store.command('ALTER TABLE events DELETE WHERE tenant = {tenant: String} AND log_index >= 6 SETTINGS mutations_sync = 2', { tenant });
  const second = await startLogged(first);
  expect(second.lines.join('')).toContain('the log of a tenant has more events than the record');
  await second.started.record(tenant, some(2), STORED);
  await second.stop();
  expect((await stored(tenant)).map((row) => row.log_index)).toEqual([0, 1, 2, 3, 4, 5, 10, 11]);
  expect(second.logs.view(tenant, second.started.collectorId)?.checkpoint?.size).toBe(12);
});

it('a log whose files were changed is left as it is, and recording goes on', async () => {
  const first = await startLogged();
  const tenant = unique('t');
  await first.started.record(tenant, some(40), STORED);
  await first.stop();
  const folder = join(first.folder, `${tenant}@${first.started.collectorId}`);
  await truncate(join(folder, 'level-0'), 32 * 39);
  const checkpoint = await readFile(join(folder, 'checkpoint'), 'utf8');
  const second = await startLogged(first);
  expect(second.logs.view(tenant, first.started.collectorId)?.broken).toContain('are not those of its checkpoint');
  await second.started.record(tenant, some(5), STORED);
  await second.stop();
  expect(await stored(tenant)).toHaveLength(45);
  expect(await readFile(join(folder, 'checkpoint'), 'utf8')).toBe(checkpoint);
});

it.for([1, 2, 3, 4])('is whole after crashes at random moments (seed %d)', { timeout: 60_000 }, async (seed) => {
  const random = new Random(seed);
  let now = await startLogged();
  const tenants = [unique('t'), unique('t')];
  for (let crash = 0; crash < 4; crash++) {
    const { started } = now;
    if (random.chance(0.5)) onInsert(started.store, ({ run }) => (random.chance(0.3) ? Promise.withResolvers<never>().promise : run()));
    for (let i = random.int(6); i >= 0; i--) await started.record(random.pick(tenants), some(1 + random.int(400)), random.chance(0.3) ? { waitMs: 100 } : undefined);
    if (random.chance(0.5)) await now.logs.settled();
    started.kill();
    // What it wrote is there; it signs nothing any more.
    now.signer.dead = true;
    await now.logs.stop();
    now.signer.dead = false;
    if (random.chance(0.5)) await finish(started);
    now = await startLogged(now);
  }
  await now.started.record(tenants[0] as string, some(1), STORED);
  await until(() => now.started.recorder.state.waiting, (waiting) => waiting === 0, 30_000);
  await now.logs.settled();
  await now.stop();
  for (const tenant of tenants) if (now.logs.size(tenant) > 0) await check(now, tenant);
});
