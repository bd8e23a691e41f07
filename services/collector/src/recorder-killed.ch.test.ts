import { statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Store } from '@agent-audit/queries';
import type { AuditEvent } from '@agent-audit/schemas';
import { describe, expect, it } from 'vitest';
import { TestDisk } from '../../../test/support/disk.ts';
import { Oracle } from '../../../test/support/oracle.ts';
import { Random } from '../../../test/support/random.ts';
import { away, expectExactly, expectQuarantined, finish, gone, holdLearning, isConflict, monthly, onInsert, quarantined, refusedOf, some, start, type Started, STORED, stored, test, unique } from '../../../test/support/recorders.ts';
import { until } from '../../../test/support/until.ts';
import { NotRecorded } from './not-recorded.ts';
import { HEADER_BYTES } from './segments/format.ts';

describe('a recorder that is killed', () => {
  const batch = (): { events: AuditEvent[]; other: AuditEvent } => {
    const events = some(3);
    return { events, other: { ...events[0], attributes: { other: true } } as AuditEvent };
  };

  /** Waits for this, and then never goes on. */
  interface Point {
    /** What the recorder has reached when it is killed. */
    readonly at: Promise<void>;
  }

  /** Stops a recorder at the n-th insert into a table, before or after it took effect. */
  function stopAt(store: Store, table: string, nth: number, when: 'before' | 'after'): Point {
    const reached = Promise.withResolvers<void>();
    let inserts = 0;
    onInsert(store, async (insert) => {
      const last = insert.table === table && ++inserts === nth;
      if (!last || when === 'after') await insert.run();
      if (!last) return;
      reached.resolve();
      await Promise.withResolvers<never>().promise;
    });
    return { at: reached.promise };
  }

  function stopAtRemoval(disk: TestDisk): Point {
    const reached = Promise.withResolvers<void>();
    disk.before = async (operation, path) => {
      if (operation !== 'remove' || statSync(path).size <= HEADER_BYTES) return;
      reached.resolve();
      await Promise.withResolvers<never>().promise;
    };
    return { at: reached.promise };
  }

  it.each<[string, (started: Started) => Point]>([
    ['before the refused events are in quarantine', ({ store }) => stopAt(store, 'quarantine', 1, 'before')],
    ['after the refused events are in quarantine', ({ store }) => stopAt(store, 'quarantine', 1, 'after')],
    ['before the new events are stored', ({ store }) => stopAt(store, 'events', 1, 'before')],
    ['after the new events are stored', ({ store }) => stopAt(store, 'events', 1, 'after')],
    ['before the doubtful events are stored', ({ store }) => stopAt(store, 'events', 2, 'before')],
    ['after the doubtful events are stored', ({ store }) => stopAt(store, 'events', 2, 'after')],
    ['before the file is removed', ({ disk }) => stopAtRemoval(disk)],
  ])('%s loses nothing and doubles nothing, killed there again and again', async (_, stopThere) => {
    const tenant = unique('t');
    const { events, other } = batch();
    const first = await start();
    await first.learned();
    const point = stopThere(first);
    // It waits to hear of the repeats; but what is being stored is on disk.
    void first.record(tenant, [...events, other, ...events], { refused: [refusedOf('{1}'), refusedOf('{2}')] });
    await point.at;
    first.kill();
    // Some of it may be stored now, and then the next does not come to this point any more.
    const disk = new TestDisk();
    let again: Point | undefined;
    const second = await start({ after: first, disk, prepare: (store) => void (again = stopThere({ ...first, store, disk })) });
    await Promise.race([again?.at, until(() => second.recorder.state.waiting, (waiting) => waiting === 0)]);
    second.kill();
    await finish(second);
    await expectExactly(tenant, [...events, other]);
    expect((await stored(tenant)).filter(isConflict).map(({ raw }) => raw)).toEqual([JSON.stringify(other)]);
    await expectQuarantined(tenant, ['{1}', '{2}']);
    expect(await readdir(first.folder)).toEqual([]);
  });

  it('and whose engine knows a token without its rows: the next one stores them', async () => {
    const tenant = unique('t');
    const first = await start();
    await first.learned();
    const events = some(3);
    const reached = Promise.withResolvers<void>();
    onInsert(first.store, async ({ table, onlyToken }) => {
      await onlyToken();
      if (table === 'quarantine') reached.resolve();
      await Promise.withResolvers<never>().promise;
    });
    await first.record(tenant, events, { refused: [refusedOf('{1}'), refusedOf('{2}')] });
    await reached.promise;
    first.kill();
    await finish(first);
    await expectExactly(tenant, events);
    await expectQuarantined(tenant, ['{1}', '{2}']);
  });

  it('leaves segments of several tenants and months: all are stored, in order', async () => {
    const clock = monthly();
    const first = await start({ clock });
    const tenants = [unique('t'), unique('t')] as const;
    const sent = new Map(tenants.map((tenant) => [tenant, [] as AuditEvent[]]));
    await first.learned();
    away(first.store);
    for (; clock.month < 6; clock.month++) {
      for (const tenant of tenants) {
        const events = some(2);
        sent.get(tenant)?.push(...events);
        await first.record(tenant, [...events, ...events], { refused: [refusedOf(`{${clock.month}}`)] });
      }
    }
    first.kill();
    const second = await start({ after: first });
    expect(second.recorder.state.waiting).toBeGreaterThanOrEqual(6);
    await until(() => second.recorder.state.waiting, (waiting) => waiting === 0, 30_000);
    await second.stop();
    for (const tenant of tenants) {
      await expectExactly(tenant, sent.get(tenant) ?? []);
      expect((await stored(tenant)).map(({ raw }) => raw)).toEqual((sent.get(tenant) ?? []).map((event) => JSON.stringify(event)));
      await expectQuarantined(tenant, Array.from({ length: 6 }, (_, month) => `{${month}}`));
    }
    expect(await readdir(first.folder)).toEqual([]);
  });

  it.each(['before its ids are learned', 'after they are learned', 'after it was looked for', 'when it was repeated'])('while an insert is under way that arrives late, %s: nothing is stored twice, and no position given twice', async (when) => {
    const tenant = unique('t');
    const first = await start();
    await first.learned();
    const late = Promise.withResolvers<() => Promise<void>>();
    const [a, b, c, d, e] = some(5) as [AuditEvent, AuditEvent, AuditEvent, AuditEvent, AuditEvent];
    await first.record(tenant, [a], STORED);
    onInsert(first.store, async ({ run }) => {
      late.resolve(run);
      await Promise.withResolvers<never>().promise;
    });
    await first.record(tenant, [b, c]);
    const arrives = await late.promise;
    first.kill();
    const gate = Promise.withResolvers<void>();
    let inserts = 0;
    const second = await start({
      after: first,
      prepare: (store) => {
        holdLearning(store, gate.promise);
        onInsert(store, async ({ run }) => {
          if (inserts++ === 0 && when === 'after it was looked for') await arrives();
          await run();
        });
        const select = store.select.bind(store);
        let counts = 0;
        store.select = (async (...args: Parameters<Store['select']>) => {
          if (args[0].includes('segment_id') && counts++ === 0 && when === 'after they are learned') await arrives();
          return select(...args);
        }) as Store['select'];
      },
    });
    if (when === 'before its ids are learned') await arrives();
    gate.resolve();
    await second.learned();
    await until(() => second.recorder.state.waiting, (waiting) => waiting === 0);
    await second.record(tenant, [d], STORED);
    if (when === 'when it was repeated') await arrives();
    await second.record(tenant, [e], STORED);
    await second.stop();
    await expectExactly(tenant, [a, b, c, d, e]);
  });
});

describe('at random moments', () => {
  /**
   * Inserts fail before and after they took effect, the engine and the recorder are killed; and all of it is over in the end.
   * Either the inserts of a recorder that was killed arrive whenever they do, or disks are full: what was refused then and
   * arrives late is in no segment, and could be there twice.
   */
  it.each([['late inserts', 21], ['full disks', 22]] as const)('whatever fails: nothing is lost, doubled or altered, the first of an id is the first, and no hole is left (%s, seed %i)', async (kind, seed) => {
    const random = new Random(seed);
    const oracle = new Oracle();
    const tenants = [unique('t'), unique('t')];
    const pool = some(40).flatMap((event) => [event, { ...event, attributes: { other: true } }]);
    const refused = new Map(tenants.map((tenant) => [tenant, new Map<string, boolean>()]));
    /** An event is what its tenant and its bytes are. */
    const nameOf = (tenant: string, raw: string): string => `${tenant} ${raw}`;
    const clock = monthly();
    let last: Started | undefined;
    let quarantines = 0;
    // On a busy machine little is acknowledged before a life is over: then there are more.
    for (let life = 0; life < 6 || oracle.acknowledged <= 100; life++) {
      let dead = false;
      let trouble = true;
      const underWay = new Set<Promise<void>>();
      const started: Started = await start({
        clock, ...(last === undefined ? {} : { after: last }),
        prepare: (store) => void onInsert(store, async ({ run }) => {
          if (trouble && random.chance(0.25)) throw gone();
          const insert = run();
          underWay.add(insert);
          await insert.finally(() => underWay.delete(insert));
          if (trouble && random.chance(0.25)) throw gone();
        }),
      });
      last = started;
      started.disk.before = (operation) => {
        if (kind === 'full disks' && operation === 'write' && random.chance(0.03)) started.disk.space = random.int(500);
        else if (random.chance(0.3)) started.disk.space = Number.POSITIVE_INFINITY;
      };
      if (random.chance(0.5)) await started.learned();
      const clients = Array.from({ length: 6 }, async () => {
        for (let i = 0; i < 8 && !dead; i++) {
          const tenant = random.pick(tenants);
          const batch = [...some(random.int(3)), ...random.some(pool, random.int(5))];
          const bad = random.chance(0.2) ? [`{${++quarantines}}`] : [];
          const raws = batch.map((event) => JSON.stringify(event));
          for (const raw of raws) oracle.sends(nameOf(tenant, raw), raw);
          for (const raw of bad) refused.get(tenant)?.set(raw, false);
          if (random.chance(0.1)) clock.month = (clock.month + 1) % 12;
          // Only some wait to hear what became of it.
          const answer = await started.record(tenant, batch, { refused: bad.map(refusedOf), waitMs: random.chance(0.2) ? 100 : 0 }).catch((error: unknown) => {
            expect(error).toBeInstanceOf(NotRecorded);
          });
          // What comes too late for a process that is dead was never heard by anybody.
          if (answer === undefined || dead) continue;
          expect(answer.accepted + answer.duplicates).toBe(batch.length);
          for (const raw of raws) oracle.acknowledges(nameOf(tenant, raw), raw);
          for (const raw of bad) refused.get(tenant)?.set(raw, true);
        }
      });
      // The first comes before anything is answered, and the last when all is.
      for (let turns = random.int(40); turns > 0; turns--) await sleep(random.int(20));
      if (life === 2) process.kill(test.engine.pid as number, 'SIGKILL');
      if (random.chance(0.7)) {
        started.kill();
        dead = true;
      } else {
        await Promise.all(clients);
        trouble = random.chance(0.5);
        await started.stop();
      }
      if (kind === 'full disks') await Promise.allSettled(underWay);
      await until(() => test.store.ping(), (up) => up, 20_000);
    }
    await finish(last as Started);
    const rows = await Promise.all(tenants.map(async (tenant) => (await stored(tenant)).map((row) => ({ ...row, tenant }))));
    expect(oracle.check(rows.flat().map(({ tenant, raw }) => ({ id: nameOf(tenant, raw), raw })))).toEqual({ lost: [], repeated: [], altered: [], invented: [] });
    for (const ofTenant of rows) {
      expect(ofTenant.map((row) => row.log_index)).toEqual(ofTenant.map((_, i) => i));
      // Under one id, all but the first are flagged.
      for (const group of Map.groupBy(ofTenant, (row) => row.event_id).values()) expect(group.map(isConflict)).toEqual(group.map((_, i) => i > 0));
    }
    for (const [tenant, sent] of refused) {
      const there = (await quarantined(tenant)).map(({ raw }) => raw);
      expect(new Set(there).size).toBe(there.length);
      expect([...sent].filter(([raw, acknowledged]) => acknowledged && !there.includes(raw))).toEqual([]);
    }
    expect(await readdir((last as Started).folder)).toEqual([]);
  });
});
