import { setTimeout as sleep } from 'node:timers/promises';
import { Store, StoreError } from '@agent-audit/queries';
import { EventTape, type AuditEvent } from '@agent-audit/schemas';
import { createTelemetry, systemClock, type Clock } from '@agent-audit/shared';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { at, NOON, toolCall } from '../../../test/support/events.ts';
import { Random } from '../../../test/support/random.ts';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import { until } from '../../../test/support/until.ts';
import { NotRecorded, Recorder, type RecordResult } from './recorder.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());

function tapeOf(events: readonly AuditEvent[]): EventTape {
  const tape = new EventTape();
  for (const event of events) expect(tape.take(Buffer.from(JSON.stringify(event)))).toBeUndefined();
  return tape;
}

let names = 0;
const unique = (what: string): string => `${what}-${++names}`;
const some = (count: number): AuditEvent[] => Array.from({ length: count }, () => toolCall());

interface Started {
  readonly recorder: Recorder;
  readonly store: Store;
  readonly collectorId: string;
  record(tenant: string, events: readonly AuditEvent[]): Promise<RecordResult>;
  /** Resolves when every recorded id is known, and new ones need no lookup. */
  learned(): Promise<void>;
  stop(): Promise<void>;
}

/** A recorder with a store of its own, whose methods a test may replace. */
async function start(options: { collectorId?: string; patienceMs?: number; clock?: Clock } = {}): Promise<Started> {
  const store = new Store(test.options);
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const collectorId = options.collectorId ?? unique('c');
  const recorder = new Recorder({ store, collectorId, log, clock: systemClock, telemetry: createTelemetry(), ...options });
  await recorder.start();
  return {
    recorder, store, collectorId,
    record: (tenant, events) => recorder.record(tenant, tapeOf(events)),
    learned: async () => void (await until(() => lines.some((line) => line.includes('learned which ids')), (done) => done)),
    stop: async () => {
      await recorder.stop();
      await store.close();
    },
  };
}

const Row = z.object({ event_id: z.string(), log_index: z.coerce.number(), flags: z.number(), segment_id: z.string(), raw: z.string() });

/** What is stored of a tenant, in the order of recording at each collector. */
function stored(tenant: string): Promise<z.infer<typeof Row>[]> {
  return test.store.select('SELECT event_id, log_index, flags, segment_id, raw FROM events WHERE tenant = {tenant: String} ORDER BY collector_id, log_index', { tenant }, Row);
}

/** Each event once, and positions from 0 without holes. */
async function expectExactly(tenant: string, events: readonly AuditEvent[]): Promise<void> {
  const rows = await stored(tenant);
  expect(rows.map(({ raw }) => raw).toSorted()).toEqual(events.map((event) => JSON.stringify(event)).toSorted());
  expect(rows.map((row) => row.log_index)).toEqual(events.map((_, i) => i));
}

const isConflict = (row: { flags: number }): boolean => (row.flags & 4) === 4;

/** Replaces what inserting does; the last argument is how it is really done. */
function onInsert(store: Store, run: (insert: () => Promise<void>) => Promise<void>): () => void {
  const insert = store.insertNative.bind(store);
  store.insertNative = (...args) => run(() => insert(...args));
  return () => {
    store.insertNative = insert;
  };
}

const gone = (): StoreError => new StoreError('ClickHouse did not answer: gone', undefined);

describe('what is new and what is known', () => {
  it('records new events, and they are stored when it answers', async () => {
    const { record, stop } = await start();
    const tenant = unique('t');
    const events = some(5);
    expect(await record(tenant, events)).toEqual({ accepted: 5, duplicates: 0 });
    await expectExactly(tenant, events);
    expect(await record(tenant, [])).toEqual({ accepted: 0, duplicates: 0 });
    await stop();
  });

  it.each([['before', false], ['after', true]] as const)('tells duplicates in one request and from request to request, %s the ids are learned', async (_, wait) => {
    const { record, learned, stop } = await start();
    if (wait) await learned();
    const tenant = unique('t');
    const [a, b, c] = some(3) as [AuditEvent, AuditEvent, AuditEvent];
    expect(await record(tenant, [a, b, a, a])).toEqual({ accepted: 2, duplicates: 2 });
    expect(await record(tenant, [b, c, a])).toEqual({ accepted: 1, duplicates: 2 });
    expect(await record(tenant, [c])).toEqual({ accepted: 0, duplicates: 1 });
    await expectExactly(tenant, [a, b, c]);
    await stop();
  });

  it('tells duplicates among requests at the same time', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(40);
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => record(tenant, events.slice(i * 2, i * 2 + 26))));
    expect(answers.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(40);
    expect(answers.reduce((sum, { duplicates }) => sum + duplicates, 0)).toBe(8 * 26 - 40);
    await expectExactly(tenant, events);
    await stop();
  });

  it.each([['before', false], ['after', true]] as const)('knows what was recorded before a restart, %s it has learned the ids', async (_, wait) => {
    const first = await start();
    const tenant = unique('t');
    const events = some(30);
    await first.record(tenant, events);
    await first.stop();
    const second = await start({ collectorId: first.collectorId });
    if (wait) await second.learned();
    const more = some(2);
    expect(await second.record(tenant, [...events, ...more])).toEqual({ accepted: 2, duplicates: 30 });
    await expectExactly(tenant, [...events, ...more]);
    await second.stop();
  });

  it('knows what another collector recorded before it started', async () => {
    const [first, tenant, events] = [await start(), unique('t'), some(3)];
    await first.record(tenant, events);
    const second = await start();
    await second.learned();
    expect(await second.record(tenant, events)).toEqual({ accepted: 0, duplicates: 3 });
    await Promise.all([first.stop(), second.stop()]);
  });

  it('keeps the tenants apart', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenants = [unique('t'), unique('t')];
    const events = some(4);
    for (const tenant of tenants) expect(await record(tenant, events)).toEqual({ accepted: 4, duplicates: 0 });
    for (const tenant of tenants) await expectExactly(tenant, events);
    await stop();
  });

  it('takes ids beside letters beyond ASCII, which the tape keeps elsewhere', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(3).map((event) => Object.assign(event, { agent: { id: 'агент' } }));
    expect(await record(tenant, [...events, ...events])).toEqual({ accepted: 3, duplicates: 3 });
    await expectExactly(tenant, events);
    await stop();
  });
});

describe('conflicts', () => {
  it('keeps other bytes under a known id, flags them, and acknowledges a repeat of either', async () => {
    const first = await start();
    const tenant = unique('t');
    const event = toolCall();
    const other = { ...event, attributes: { other: true } };
    const third = { ...event, attributes: { third: true } };
    expect(await first.record(tenant, [event, other])).toEqual({ accepted: 2, duplicates: 0 });
    expect(await first.record(tenant, [other, event, third])).toEqual({ accepted: 1, duplicates: 2 });
    await first.stop();
    const second = await start({ collectorId: first.collectorId });
    expect(await second.record(tenant, [third, other, event])).toEqual({ accepted: 0, duplicates: 3 });
    await second.stop();
    await expectExactly(tenant, [event, other, third]);
    expect((await stored(tenant)).map((row) => [row.raw, isConflict(row)])).toEqual([[JSON.stringify(event), false], [JSON.stringify(other), true], [JSON.stringify(third), true]]);
  });

  it('of requests at the same time: one is the first, each text is kept once', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const event = toolCall();
    const versions = [0, 1, 2, 3].map((version) => ({ ...event, attributes: { version } }));
    const answers = await Promise.all([...versions, ...versions].map((version) => record(tenant, [version])));
    expect(answers.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(4);
    const rows = await stored(tenant);
    expect(rows.map(isConflict)).toEqual([false, true, true, true]);
    expect(new Set(rows.map(({ raw }) => raw)).size).toBe(4);
    await stop();
  });
});

describe('positions', () => {
  it('rise by one in each tenant, over requests and restarts', async () => {
    const collectorId = unique('c');
    const tenants = [unique('t'), unique('t'), unique('t')];
    const events = new Map(tenants.map((tenant) => [tenant, [] as AuditEvent[]]));
    const random = new Random(2);
    for (let round = 0; round < 3; round++) {
      const { record, learned, stop } = await start({ collectorId });
      if (round === 1) await learned();
      await Promise.all(Array.from({ length: 25 }, async () => {
        const tenant = random.pick(tenants);
        const batch = some(1 + random.int(4));
        events.get(tenant)?.push(...batch);
        await record(tenant, batch);
      }));
      await stop();
    }
    for (const tenant of tenants) await expectExactly(tenant, events.get(tenant) ?? []);
  });

  it('follow the order within a request', async () => {
    const { record, stop } = await start();
    const tenant = unique('t');
    const events = some(50).toReversed();
    await record(tenant, events);
    expect((await stored(tenant)).map(({ event_id: id }) => id)).toEqual(events.map(({ event_id: id }) => id));
    await stop();
  });
});

describe('segments', () => {
  it('are shared by requests under load', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const batches = Array.from({ length: 300 }, () => some(3));
    await Promise.all(batches.map((batch) => record(tenant, batch)));
    const rows = await stored(tenant);
    expect(rows).toHaveLength(900);
    expect(new Set(rows.map((row) => row.segment_id)).size).toBeLessThan(10);
    await stop();
  });

  it('take a request of more than a segment has rows', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(17_000);
    expect(await record(tenant, events)).toEqual({ accepted: 17_000, duplicates: 0 });
    await record(tenant, some(1));
    const rows = await stored(tenant);
    expect(rows).toHaveLength(17_001);
    expect(rows.every((row, i) => row.log_index === i)).toBe(true);
    expect(new Set(rows.map((row) => row.segment_id)).size).toBe(2);
    await stop();
  });

  it('hold one month of receipt only', async () => {
    // The last microsecond of February, and then the first of March.
    const micros = [1_772_323_199_999_999n, 1_772_323_200_000_000n];
    let calls = 0;
    const clock: Clock = { nowMs: () => 1_772_323_200_000, nowMicros: () => micros[Math.min(calls++, 1)] as bigint, sleep: () => sleep(1) };
    const { record, learned, stop } = await start({ clock });
    await learned();
    const tenant = unique('t');
    const [a, b] = [some(1), some(1)];
    await Promise.all([record(tenant, a), record(tenant, b)]);
    await expectExactly(tenant, [...a, ...b]);
    expect(new Set((await stored(tenant)).map((row) => row.segment_id)).size).toBe(2);
    await stop();
  });
});

describe('stop', () => {
  it('finishes what was taken in, and refuses what comes after', async () => {
    const { recorder, record, learned, store } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(60);
    const before = Promise.all([record(tenant, events.slice(0, 20)), record(tenant, events.slice(10, 40)), record(tenant, events.slice(40))]);
    const stopping = recorder.stop();
    await expect(record(tenant, some(1))).rejects.toBeInstanceOf(NotRecorded);
    await stopping;
    expect((await before).map(({ accepted }) => accepted)).toEqual([20, 20, 20]);
    await expectExactly(tenant, events);
    await store.close();
  });
});

describe('an insert that fails', () => {
  it('is repeated until it is stored', async () => {
    const { record, store, stop } = await start();
    const tenant = unique('t');
    let failures = 3;
    onInsert(store, async (insert) => {
      if (failures-- > 0) throw gone();
      await insert();
    });
    const events = some(3);
    expect(await record(tenant, events)).toEqual({ accepted: 3, duplicates: 0 });
    await expectExactly(tenant, events);
    await stop();
  });

  it('and was stored all the same is not stored twice', async () => {
    const { record, store, stop } = await start();
    const tenant = unique('t');
    let failures = 2;
    onInsert(store, async (insert) => {
      await insert();
      if (failures-- > 0) throw gone();
    });
    // Whether it got there cannot be asked either, the first time.
    const select = store.select.bind(store);
    let blind = true;
    store.select = (async (...args: Parameters<Store['select']>) => {
      if (args[0].includes('segment_id') && blind) {
        blind = false;
        throw gone();
      }
      return select(...args);
    }) as Store['select'];
    const events = some(3);
    expect(await record(tenant, events)).toEqual({ accepted: 3, duplicates: 0 });
    await expectExactly(tenant, events);
    await stop();
  });

  it('for good refuses the request and all behind it at once; a repeat is recorded, without a hole', async () => {
    const { record, learned, store, stop } = await start();
    await learned();
    const tenant = unique('t');
    const [before, during, behind] = [some(2), some(3), some(4)];
    await record(tenant, before);
    const restore = onInsert(store, async () => {
      await sleep(50);
      throw new StoreError('ClickHouse: UNKNOWN_TABLE (60)', 60);
    });
    const answers = await Promise.allSettled([record(tenant, during), sleep(10).then(() => record(tenant, behind))]);
    for (const answer of answers) expect(answer).toMatchObject({ status: 'rejected', reason: expect.any(NotRecorded) });
    restore();
    await expectExactly(tenant, before);
    expect(await Promise.all([record(tenant, during), record(tenant, behind), record(tenant, before)])).toMatchObject([{ accepted: 3 }, { accepted: 4 }, { duplicates: 2 }]);
    await expectExactly(tenant, [...before, ...during, ...behind]);
    await stop();
  });

  it('for longer than patience is refused; a repeat is recorded, without a hole', async () => {
    const { record, store, stop } = await start({ patienceMs: 100 });
    const tenant = unique('t');
    const events = some(4);
    await record(tenant, events.slice(0, 1));
    const restore = onInsert(store, () => Promise.reject(gone()));
    await expect(record(tenant, events)).rejects.toBeInstanceOf(NotRecorded);
    await expect(record(tenant, events)).rejects.toBeInstanceOf(NotRecorded);
    restore();
    expect(await record(tenant, events)).toEqual({ accepted: 3, duplicates: 1 });
    await expectExactly(tenant, events);
    await stop();
  });

  // `#lookUpAll` takes the map of positions before it asks the store; when a segment is refused in the meantime, the
  // positions of that segment are in it, given out and never used.
  it('while a request with known ids is looked up leaves no hole', async () => {
    const { record, learned, store, stop } = await start();
    await learned();
    const tenant = unique('t');
    const [a, b, c] = some(3) as [AuditEvent, AuditEvent, AuditEvent];
    await record(tenant, [a]);
    const answered = Promise.withResolvers<void>();
    const select = store.select.bind(store);
    store.select = (async (...args: Parameters<Store['select']>) => {
      if (args[0].includes('SHA256')) await answered.promise;
      return select(...args);
    }) as Store['select'];
    const looked = record(tenant, [a, b]);
    await sleep(50);
    const restore = onInsert(store, () => Promise.reject(new StoreError('ClickHouse: no', 60)));
    await expect(record(tenant, [c])).rejects.toBeInstanceOf(NotRecorded);
    restore();
    answered.resolve();
    expect(await looked).toEqual({ accepted: 1, duplicates: 1 });
    await record(tenant, [c]);
    await stop();
    await expectExactly(tenant, [a, b, c]);
  });

  it('at any moment, with requests of all kinds, loses nothing, doubles nothing and leaves no hole at the end', async () => {
    const random = new Random(21);
    const { record, learned, store, stop } = await start({ patienceMs: 150 });
    await learned();
    let trouble = true;
    onInsert(store, async (insert) => {
      if (trouble && random.chance(0.2)) throw gone();
      await insert();
      if (trouble && random.chance(0.2)) throw gone();
    });
    const tenants = [unique('t'), unique('t')];
    const acknowledged = new Map(tenants.map((tenant) => [tenant, new Set<string>()]));
    const pool = some(60).flatMap((event) => [event, { ...event, attributes: { other: true } }]);
    await Promise.all(Array.from({ length: 12 }, async () => {
      for (let i = 0; i < 12; i++) {
        const tenant = random.pick(tenants);
        const batch = [...some(random.int(3)), ...random.some(pool, random.int(5))];
        for (;;) {
          try {
            const { accepted, duplicates } = await record(tenant, batch);
            expect(accepted + duplicates).toBe(batch.length);
            break;
          } catch (error) {
            expect(error).toBeInstanceOf(NotRecorded);
            await sleep(5);
          }
        }
        for (const event of batch) acknowledged.get(tenant)?.add(JSON.stringify(event));
      }
    }));
    trouble = false;
    await stop();
    for (const tenant of tenants) {
      const rows = await stored(tenant);
      expect(rows.map(({ raw }) => raw).toSorted()).toEqual([...(acknowledged.get(tenant) ?? [])].toSorted());
      expect(rows.map((row) => row.log_index)).toEqual(rows.map((_, i) => i));
      // Under one id, all but the first are flagged.
      for (const group of Map.groupBy(rows, (row) => row.event_id).values()) expect(group.map(isConflict)).toEqual(group.map((_, i) => i > 0));
    }
  });
});

describe('reading that fails', () => {
  it('refuses what would have to be looked up, and forgets nothing', async () => {
    const { record, learned, store, stop } = await start();
    await learned();
    const tenant = unique('t');
    const [a, b] = some(2) as [AuditEvent, AuditEvent];
    await record(tenant, [a]);
    const select = store.select.bind(store);
    store.select = () => Promise.reject(gone());
    await expect(record(tenant, [a, b])).rejects.toBeInstanceOf(NotRecorded);
    store.select = select;
    expect(await record(tenant, [a, b])).toEqual({ accepted: 1, duplicates: 1 });
    await expectExactly(tenant, [a, b]);
    await stop();
  });

  it('of the recorded ids is tried again, and until then every id is looked up', async () => {
    const first = await start();
    const tenant = unique('t');
    const events = some(3);
    await first.record(tenant, events);
    await first.stop();
    const store = new Store(test.options);
    const lines: string[] = [];
    let streams = 0;
    const stream = store.stream.bind(store);
    store.stream = (...args) => {
      if (streams++ === 0) throw gone();
      return stream(...args);
    };
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const recorder = new Recorder({ store, collectorId: first.collectorId, log, clock: { ...systemClock, sleep: (ms) => sleep(Math.min(ms, 100)) }, telemetry: createTelemetry() });
    await recorder.start();
    expect(await recorder.record(tenant, tapeOf(events))).toEqual({ accepted: 0, duplicates: 3 });
    await until(() => lines.some((line) => line.includes('learned which ids')), (done) => done);
    expect(streams).toBe(2);
    expect(await recorder.record(tenant, tapeOf([...events, ...some(1)]))).toEqual({ accepted: 1, duplicates: 3 });
    await recorder.stop();
    await store.close();
  });
});

describe('the engine', () => {
  it('killed in the middle: everything is repeated and recorded exactly once', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(400);
    const pid = test.engine.pid as number;
    const answers: Promise<RecordResult>[] = [];
    for (let i = 0; i < 400; i += 10) {
      answers.push(record(tenant, events.slice(i, i + 10)));
      if (i === 100) process.kill(pid, 'SIGKILL');
      await sleep(5);
    }
    expect((await Promise.all(answers)).every(({ accepted }) => accepted === 10)).toBe(true);
    expect(test.engine.pid).not.toBe(pid);
    await expectExactly(tenant, events);
    expect(await record(tenant, events)).toEqual({ accepted: 0, duplicates: 400 });
    await stop();
  });

  it('away for longer than patience: refused, and a repeat is recorded without a hole', async () => {
    const { record, learned, stop } = await start({ patienceMs: 20 });
    await learned();
    const tenant = unique('t');
    const events = some(20);
    await record(tenant, events.slice(0, 5));
    process.kill(test.engine.pid as number, 'SIGKILL');
    await expect(record(tenant, events)).rejects.toBeInstanceOf(NotRecorded);
    await until(() => test.store.ping(), (up) => up, 20_000);
    const answer = await until(() => record(tenant, events).catch(() => undefined), (result) => result !== undefined);
    expect(answer).toEqual({ accepted: 15, duplicates: 5 });
    await expectExactly(tenant, events);
    await stop();
  });
});

describe('time', () => {
  it('of receipt is the clock\'s, and late events are flagged', async () => {
    const clock: Clock = { nowMs: () => Number(NOON / 1_000_000n), nowMicros: () => NOON / 1000n + 7n, sleep };
    const { record, stop } = await start({ clock });
    const tenant = unique('t');
    await record(tenant, [toolCall({ time: at(NOON) }), toolCall({ time: at(NOON - 301_000_000_000n) }), toolCall({ time: at(NOON + 61_000_000_000n) })]);
    expect((await stored(tenant)).map(({ flags }) => flags)).toEqual([0, 1, 2]);
    const [row] = await test.store.select('SELECT DISTINCT toString(received_at) AS received_at FROM events WHERE tenant = {tenant: String}', { tenant }, z.object({ received_at: z.string() }));
    expect(row).toEqual({ received_at: '2026-03-01 12:00:00.000007' });
    await stop();
  });
});
