import { randomUUIDv7 } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ByteBuffer, encodeQuarantine, Store, StoreError } from '@agent-audit/queries';
import { EventTape, type AuditEvent } from '@agent-audit/schemas';
import { createTelemetry, systemClock, type Clock, type Telemetry } from '@agent-audit/shared';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { failure, TestDisk } from '../../../test/support/disk.ts';
import { at, NOON, toolCall } from '../../../test/support/events.ts';
import { Oracle } from '../../../test/support/oracle.ts';
import { Random } from '../../../test/support/random.ts';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import { until } from '../../../test/support/until.ts';
import type { RecordResult } from './event-sink.ts';
import { NotRecorded } from './not-recorded.ts';
import { Recorder } from './recorder.ts';
import { checksumSeed, HEADER_BYTES, readSegment, segmentHeader, withQuarantineIds, writeRecord, type Refused, type SegmentRecord } from './segments/format.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());

let base: string;
const stores: Store[] = [];
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'agent-audit-recorder-'));
});
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
  await rm(base, { recursive: true, force: true });
});

function tapeOf(events: readonly AuditEvent[]): EventTape {
  const tape = new EventTape();
  for (const event of events) expect(tape.take(Buffer.from(JSON.stringify(event)))).toBeUndefined();
  return tape;
}

let names = 0;
const unique = (what: string): string => `${what}-${++names}`;
const some = (count: number): AuditEvent[] => Array.from({ length: count }, () => toolCall());
const refusedOf = (raw: string): Refused => ({ origin: 'http:key', eventId: undefined, errors: [{ path: '/time', code: 'required', message: 'is missing' }], raw: Buffer.from(raw) });

/** Long enough for anything that is stored at all. */
const STORED = { waitMs: 30_000 };

interface Started {
  readonly recorder: Recorder;
  readonly store: Store;
  readonly disk: TestDisk;
  readonly collectorId: string;
  readonly folder: string;
  readonly lines: string[];
  record(tenant: string, events: readonly AuditEvent[], options?: { refused?: readonly Refused[]; waitMs?: number }): Promise<RecordResult>;
  /** Resolves when every recorded id is known, and new ones need no lookup. */
  learned(): Promise<void>;
  stop(): Promise<void>;
  /** As SIGKILL does: from now on it has no effect any more. What it wrote is there. */
  kill(): void;
}

interface StartOptions {
  /** Of a recorder before: the same folder and id. */
  readonly after?: Started;
  readonly clock?: Clock;
  readonly telemetry?: Telemetry;
  readonly disk?: TestDisk;
  readonly folder?: string;
  readonly collectorId?: string;
  /** Changes the store before the recorder sees it. */
  readonly prepare?: (store: Store) => void;
}

/** Making one takes long, and few tests look at it. */
const quiet = createTelemetry();

/** A recorder with a store and a disk of its own, which a test may let fail. */
async function start({ after, clock = systemClock, telemetry = quiet, disk = new TestDisk(), prepare, ...options }: StartOptions = {}): Promise<Started> {
  const store = new Store(test.options);
  stores.push(store);
  prepare?.(store);
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const collectorId = after?.collectorId ?? options.collectorId ?? unique('c');
  const folder = after?.folder ?? options.folder ?? join(base, collectorId);
  const recorder = new Recorder({ store, collectorId, folder, disk, maxBytes: 2 ** 40, reserveBytes: 0, log, clock, telemetry });
  await recorder.start();
  return {
    recorder, store, disk, collectorId, folder, lines,
    record: async (tenant, events, { refused = [], waitMs = 0 } = {}) => {
      const since = clock.nowMs();
      for (let room = recorder.room(since); room !== undefined; room = recorder.room(since)) await room;
      const { accepted, duplicates } = await recorder.record({ tenant, tape: tapeOf(events), refused, waitMs });
      return { accepted, duplicates };
    },
    learned: async () => void (await until(() => lines.some((line) => line.includes('learned which ids')), (done) => done)),
    stop: () => recorder.stop(),
    kill: () => {
      disk.die();
      const never = Promise.withResolvers<never>().promise;
      store.insertNative = () => never;
      store.selectWithStats = () => never;
      store.select = () => never;
      store.stream = async function* () {
        yield await never;
      };
    },
  };
}

/** Lets a recorder on the same folder store what is left. */
async function finish(after: Started): Promise<Started> {
  const next = await start({ after });
  await until(() => next.recorder.state.waiting, (waiting) => waiting === 0, 30_000);
  await next.stop();
  return next;
}

const Row = z.object({ event_id: z.string(), log_index: z.coerce.number(), flags: z.number(), segment_id: z.string(), raw: z.string() });

/** What is stored of a tenant, in the order of recording at each collector. */
function stored(tenant: string): Promise<z.infer<typeof Row>[]> {
  return test.store.select('SELECT event_id, log_index, flags, segment_id, raw FROM events WHERE tenant = {tenant: String} ORDER BY collector_id, log_index', { tenant }, Row);
}

const Refusal = z.object({ quarantine_id: z.string(), origin: z.string(), raw: z.string() });

function quarantined(tenant: string): Promise<z.infer<typeof Refusal>[]> {
  return test.store.select('SELECT quarantine_id, origin, raw FROM quarantine WHERE tenant = {tenant: String} ORDER BY raw', { tenant }, Refusal);
}

/** Each event once, and positions from 0 without holes. */
async function expectExactly(tenant: string, events: readonly AuditEvent[]): Promise<void> {
  const rows = await stored(tenant);
  expect(rows.map(({ raw }) => raw).toSorted()).toEqual(events.map((event) => JSON.stringify(event)).toSorted());
  expect(rows.map((row) => row.log_index)).toEqual(events.map((_, i) => i));
}

async function expectQuarantined(tenant: string, raws: readonly string[]): Promise<void> {
  expect((await quarantined(tenant)).map(({ raw }) => raw)).toEqual(raws.toSorted());
}

const isConflict = (row: { flags: number }): boolean => (row.flags & 4) === 4;

interface Insert {
  readonly table: string;
  readonly token: string;
  readonly run: () => Promise<void>;
  /** As ClickHouse does that died between the token and the part: it knows the token, and has no rows. */
  readonly onlyToken: () => Promise<void>;
}

/** Replaces what inserting does. */
function onInsert(store: Store, run: (insert: Insert) => Promise<void>): () => void {
  const insert = store.insertNative.bind(store);
  store.insertNative = (table, columns, block, token) => run({
    table, token, run: () => insert(table, columns, block, token),
    onlyToken: () => {
      // Tokens are told apart by partition.
      const row = { tenant: 'of-the-token', quarantineId: randomUUIDv7(), receivedAtMicros: systemClock.nowMicros(), collectorId: 'x', origin: '', eventId: '', errors: [], raw: Buffer.alloc(0) };
      const other = encodeQuarantine([row]);
      return table === 'quarantine' ? insert(table, other.columnNames, other.block, token) : Promise.resolve();
    },
  });
  return () => {
    store.insertNative = insert;
  };
}

/** The recorded ids are learned only when this has resolved. */
function holdLearning(store: Store, released: Promise<void>): void {
  const stream = store.stream.bind(store);
  store.stream = async function* (...args) {
    await released;
    yield* stream(...args);
  };
}

const gone = (): StoreError => new StoreError('ClickHouse did not answer: gone', undefined);
const away = (store: Store): (() => void) => onInsert(store, () => Promise.reject(gone()));

/** A clock of which a test says the month: events of another month go into another segment. */
function monthly(): Clock & { month: number } {
  const clock = {
    month: 0,
    nowMs: () => Date.now(),
    nowMicros: () => BigInt(Date.UTC(2026, clock.month, 15) * 1000) + systemClock.nowMicros() % 1_000_000_000n,
    sleep: (ms: number) => sleep(Math.min(ms, 20)),
  };
  return clock;
}

const segments = async (folder: string): Promise<string[]> => (await readdir(folder)).filter((name) => name.endsWith('.segment')).toSorted();
const metric = async (telemetry: Telemetry, name: string): Promise<number> => Number(new RegExp(`^agent_audit_${name} (\\S+)$`, 'm').exec((await telemetry.expose()).text)?.[1]);

describe('what is new and what is known', () => {
  it('records new events, and they are stored when it answers to who waits', async () => {
    const { record, stop } = await start();
    const tenant = unique('t');
    const events = some(5);
    expect(await record(tenant, events, STORED)).toEqual({ accepted: 5, duplicates: 0 });
    await expectExactly(tenant, events);
    expect(await record(tenant, [], STORED)).toEqual({ accepted: 0, duplicates: 0 });
    await stop();
  });

  it('stores what nobody waits for, and leaves nothing on disk', async () => {
    const { record, stop, folder } = await start();
    const tenant = unique('t');
    const events = some(5);
    for (const event of events) expect(await record(tenant, [event])).toEqual({ accepted: 1, duplicates: 0 });
    await until(() => stored(tenant), (rows) => rows.length === 5);
    await expectExactly(tenant, events);
    await stop();
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([['before', false], ['after', true]] as const)('tells duplicates in one request and from request to request, %s the ids are learned', async (_, wait) => {
    const { record, learned, stop } = await start();
    if (wait) await learned();
    const tenant = unique('t');
    const [a, b, c] = some(3) as [AuditEvent, AuditEvent, AuditEvent];
    expect(await record(tenant, [a, b, a, a], STORED)).toEqual({ accepted: 2, duplicates: 2 });
    expect(await record(tenant, [b, c, a], STORED)).toEqual({ accepted: 1, duplicates: 2 });
    // Who sends again is told without having asked to wait.
    expect(await record(tenant, [c])).toEqual({ accepted: 0, duplicates: 1 });
    await expectExactly(tenant, [a, b, c]);
    await stop();
  });

  it('tells duplicates among requests at the same time', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(40);
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => record(tenant, events.slice(i * 2, i * 2 + 26), STORED)));
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
    const second = await start({ after: first });
    if (wait) await second.learned();
    const more = some(2);
    expect(await second.record(tenant, [...events, ...more], STORED)).toEqual({ accepted: 2, duplicates: 30 });
    await expectExactly(tenant, [...events, ...more]);
    await second.stop();
  });

  it('knows what another collector recorded before it started', async () => {
    const [first, tenant, events] = [await start(), unique('t'), some(3)];
    await first.record(tenant, events, STORED);
    const second = await start();
    await second.learned();
    expect(await second.record(tenant, events, STORED)).toEqual({ accepted: 0, duplicates: 3 });
    await Promise.all([first.stop(), second.stop()]);
  });

  it('keeps the tenants apart', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenants = [unique('t'), unique('t')];
    const events = some(4);
    for (const tenant of tenants) expect(await record(tenant, events, STORED)).toEqual({ accepted: 4, duplicates: 0 });
    for (const tenant of tenants) await expectExactly(tenant, events);
    await stop();
  });

  it('takes ids beside letters beyond ASCII, which the tape keeps elsewhere', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(3).map((event) => Object.assign(event, { agent: { id: 'агент' } }));
    expect(await record(tenant, [...events, ...events], STORED)).toEqual({ accepted: 3, duplicates: 3 });
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
    expect(await first.record(tenant, [event, other], STORED)).toEqual({ accepted: 2, duplicates: 0 });
    expect(await first.record(tenant, [other, event, third], STORED)).toEqual({ accepted: 1, duplicates: 2 });
    await first.stop();
    const second = await start({ after: first });
    expect(await second.record(tenant, [third, other, event], STORED)).toEqual({ accepted: 0, duplicates: 3 });
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
    const answers = await Promise.all([...versions, ...versions].map((version) => record(tenant, [version], STORED)));
    expect(answers.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(4);
    const rows = await stored(tenant);
    expect(rows.map(isConflict)).toEqual([false, true, true, true]);
    expect(new Set(rows.map(({ raw }) => raw)).size).toBe(4);
    await stop();
  });
});

describe('positions', () => {
  it('rise by one in each tenant, over requests and restarts', async () => {
    const tenants = [unique('t'), unique('t'), unique('t')];
    const events = new Map(tenants.map((tenant) => [tenant, [] as AuditEvent[]]));
    const random = new Random(2);
    let last: Started | undefined;
    for (let round = 0; round < 3; round++) {
      const { record, learned, stop } = (last = await start(last === undefined ? {} : { after: last }));
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
    await record(tenant, events, STORED);
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
    await stop();
    const rows = await stored(tenant);
    expect(rows).toHaveLength(900);
    expect(new Set(rows.map((row) => row.segment_id)).size).toBeLessThan(10);
  });

  it('take a request of more than a segment has rows', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(65_000);
    expect(await record(tenant, events)).toEqual({ accepted: 65_000, duplicates: 0 });
    await record(tenant, some(1));
    await stop();
    const rows = await stored(tenant);
    expect(rows).toHaveLength(65_001);
    expect(rows.every((row, i) => row.log_index === i)).toBe(true);
    expect(new Set(rows.map((row) => row.segment_id)).size).toBe(2);
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
    await stop();
    await expectExactly(tenant, [...a, ...b]);
    expect(new Set((await stored(tenant)).map((row) => row.segment_id)).size).toBe(2);
  });
});

describe('stop', () => {
  it('finishes what was taken in, and refuses what comes after', async () => {
    const { recorder, record, learned, folder } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(60);
    const before = Promise.all([record(tenant, events.slice(0, 20)), record(tenant, events.slice(10, 40)), record(tenant, events.slice(40))]);
    const stopping = recorder.stop();
    await expect(record(tenant, some(1))).rejects.toBeInstanceOf(NotRecorded);
    await stopping;
    expect((await before).map(({ accepted }) => accepted)).toEqual([20, 20, 20]);
    await expectExactly(tenant, events);
    expect(await readdir(folder)).toEqual([]);
  });

  it('does not wait for ClickHouse when it is away, and loses nothing', async () => {
    const first = await start();
    await first.learned();
    const tenant = unique('t');
    const events = some(10);
    away(first.store);
    await first.record(tenant, events.slice(0, 5), { waitMs: 100 });
    await first.record(tenant, events.slice(5));
    await first.stop();
    expect(await stored(tenant)).toEqual([]);
    expect((await segments(first.folder)).length).toBeGreaterThan(0);
    await finish(first);
    await expectExactly(tenant, events);
  });

  // What is learned when the service stops is not all that is recorded; by it, repeats looked new and were stored again.
  it('while the recorded ids are learned stores nothing untested', async () => {
    const first = await start();
    const tenant = unique('t');
    const events = some(20);
    await first.record(tenant, events);
    await first.stop();
    const gate = Promise.withResolvers<void>();
    const second = await start({
      after: first,
      prepare: (store) => {
        const stream = store.stream.bind(store);
        store.stream = async function* (...args) {
          await gate.promise;
          // One id at a time.
          for await (const chunk of stream(...args)) for (let i = 0; i < chunk.length; i += 8) yield chunk.subarray(i, i + 8);
        };
      },
    });
    expect(await second.record(tenant, events)).toMatchObject({ accepted: 20 });
    const stopping = second.stop();
    gate.resolve();
    await stopping;
    await expectExactly(tenant, events);
    await finish(second);
    await expectExactly(tenant, events);
  });

  it('refuses requests that wait for the recorded ids to be learned', async () => {
    const gate = Promise.withResolvers<void>();
    const { record, recorder, folder } = await start({
      prepare: (store) => holdLearning(store, gate.promise),
    });
    const waiting = record(unique('t'), some(1));
    const stopping = recorder.stop();
    gate.resolve();
    await expect(waiting).rejects.toBeInstanceOf(NotRecorded);
    await stopping;
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('an insert that fails', () => {
  it('is repeated until it is stored', async () => {
    const telemetry = createTelemetry();
    const { record, store, stop } = await start({ telemetry });
    const tenant = unique('t');
    let failures = 3;
    onInsert(store, async ({ run }) => {
      if (failures-- > 0) throw gone();
      await run();
    });
    const events = some(3);
    expect(await record(tenant, events, STORED)).toEqual({ accepted: 3, duplicates: 0 });
    await expectExactly(tenant, events);
    expect(await metric(telemetry, 'insert_failures_total')).toBe(3);
    expect(await metric(telemetry, 'inserted_rows_total')).toBe(3);
    await stop();
  });

  it('and was stored all the same is not stored twice', async () => {
    const { record, store, stop } = await start();
    const tenant = unique('t');
    let failures = 4;
    onInsert(store, async ({ run }) => {
      await run();
      if (failures-- > 0) throw gone();
    });
    // Whether it got there cannot be asked either, the first times.
    const select = store.select.bind(store);
    let blind = 2;
    store.select = (async (...args: Parameters<Store['select']>) => {
      if (/segment_id|quarantine_id/.test(args[0]) && blind-- > 0) throw gone();
      return select(...args);
    }) as Store['select'];
    const events = some(3);
    const other = { ...events[0], attributes: { other: true } } as AuditEvent;
    expect(await record(tenant, [...events, other], { ...STORED, refused: [refusedOf('{1}'), refusedOf('{2}')] })).toEqual({ accepted: 4, duplicates: 0 });
    await expectExactly(tenant, [...events, other]);
    await expectQuarantined(tenant, ['{1}', '{2}']);
    await stop();
  });

  it('is repeated under another token where ClickHouse knows the token and does not have the rows', async () => {
    const { record, store, stop } = await start();
    const tenant = unique('t');
    const seen = new Set<string>();
    onInsert(store, async ({ table, token, run, onlyToken }) => {
      const key = `${table}/${token.includes('doubtful')}`;
      if (seen.has(key)) return run();
      seen.add(key);
      return onlyToken();
    });
    const events = some(3);
    const other = { ...events[0], attributes: { other: true } } as AuditEvent;
    expect(await record(tenant, [...events, other], { ...STORED, refused: [refusedOf('{1}')] })).toEqual({ accepted: 4, duplicates: 0 });
    await expectExactly(tenant, [...events, other]);
    await expectQuarantined(tenant, ['{1}']);
    await stop();
  });

  it('for good puts its segment aside, and those behind it are stored; the next start stores it too', async () => {
    const telemetry = createTelemetry();
    const first = await start({ telemetry, clock: monthly() });
    await first.learned();
    const tenant = unique('t');
    const [a, b, c, d] = some(4) as [AuditEvent, AuditEvent, AuditEvent, AuditEvent];
    await first.record(tenant, [a], STORED);
    let bad: string | undefined;
    onInsert(first.store, async ({ token, run }) => {
      bad ??= token;
      if (token.startsWith(bad)) throw new StoreError('ClickHouse: INCORRECT_DATA (117)', 117);
      await run();
    });
    expect(await first.record(tenant, [b, c, a], { refused: [], waitMs: 200 })).toMatchObject({ accepted: 3 });
    await first.record(tenant, [d], STORED);
    await expectExactly(tenant, [a, d]);
    expect(await metric(telemetry, 'segments_stuck')).toBe(1);
    // One of its events is sent again, and now it is stored.
    expect(await first.record(tenant, [b], STORED)).toEqual({ accepted: 1, duplicates: 0 });
    await first.stop();
    await expectExactly(tenant, [a, d, b]);
    expect(await segments(first.folder)).toHaveLength(1);
    await finish(first);
    await expectExactly(tenant, [a, d, b, c]);
    expect(await readdir(first.folder)).toEqual([]);
  });
});

describe('while ClickHouse is away', () => {
  it('events are acknowledged; they are stored when it is back, once and in order', async () => {
    const clock = monthly();
    const { record, learned, store, stop, recorder, folder } = await start({ clock });
    await learned();
    const tenant = unique('t');
    const [a, b, c, d, e, f] = some(6) as [AuditEvent, AuditEvent, AuditEvent, AuditEvent, AuditEvent, AuditEvent];
    await record(tenant, [a], STORED);
    const back = away(store);
    const other = { ...b, attributes: { other: true } };
    // Nobody waits to hear of repeats, once it is known that nothing can be known.
    await record(tenant, [b]);
    await until(() => recorder.state.waiting, (waiting) => waiting > 0);
    // More segments than have their columns in memory: with repeats in one, of earlier ones, and of what is stored.
    for (const batch of [[c], [d, b], [other, a, other], [e, d, e], [c, f], [b, other]]) {
      clock.month++;
      expect(await record(tenant, batch, { refused: [refusedOf(`{${clock.month}}`)] })).toMatchObject({ duplicates: 0 });
    }
    expect(recorder.state).toEqual({ refusing: undefined, waiting: 6, stuck: 0 });
    expect((await segments(folder)).length).toBeGreaterThanOrEqual(7);
    back();
    await until(() => recorder.state.waiting, (waiting) => waiting === 0, 30_000);
    await stop();
    await expectExactly(tenant, [a, b, c, d, other, e, f]);
    const rows = await stored(tenant);
    expect(rows.map(({ raw }) => raw)).toEqual([a, b, c, d, other, e, f].map((event) => JSON.stringify(event)));
    expect(rows.map(isConflict)).toEqual([false, false, false, false, true, false, false]);
    await expectQuarantined(tenant, ['{1}', '{2}', '{3}', '{4}', '{5}', '{6}']);
    expect(await readdir(folder)).toEqual([]);
  });

  it('and killed, events are acknowledged, and stored exactly once when it has been started again', async () => {
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
    expect(await record(tenant, events, STORED)).toEqual({ accepted: 0, duplicates: 400 });
    await expectExactly(tenant, events);
    await stop();
  });

  it('what cannot be looked up is taken in, and told apart later', async () => {
    const { record, learned, store, stop, recorder } = await start();
    await learned();
    const tenant = unique('t');
    const [a, b] = some(2) as [AuditEvent, AuditEvent];
    await record(tenant, [a], STORED);
    const select = store.select.bind(store);
    store.select = () => Promise.reject(gone());
    expect(await record(tenant, [a, b], { waitMs: 100 })).toEqual({ accepted: 2, duplicates: 0 });
    expect(recorder.state.waiting).toBe(1);
    store.select = select;
    expect(await record(tenant, [a, b], STORED)).toEqual({ accepted: 0, duplicates: 2 });
    await expectExactly(tenant, [a, b]);
    await stop();
  });

  it('at the start, the recorded ids are learned later, and what came in meanwhile is told apart then', async () => {
    const first = await start();
    const tenant = unique('t');
    const events = some(3);
    await first.record(tenant, events);
    await first.stop();
    let failures = 0;
    let back = false;
    const clock = monthly();
    const second = await start({
      after: first, clock,
      prepare: (store) => {
        const stream = store.stream.bind(store);
        store.stream = (...args) => {
          if (back) return stream(...args);
          failures++;
          throw gone();
        };
      },
    });
    const [d, e] = some(2) as [AuditEvent, AuditEvent];
    const other = { ...events[0], attributes: { other: true } } as AuditEvent;
    expect(await second.record(tenant, [...events, d, other])).toEqual({ accepted: 5, duplicates: 0 });
    clock.month++;
    const more = second.record(tenant, [d, other, e]);
    back = true;
    expect(await more).toMatchObject({ accepted: 3 });
    await until(() => second.recorder.state.waiting, (waiting) => waiting === 0);
    expect(failures).toBeGreaterThan(1);
    // Behind segments that had to be read again, nobody is told at once.
    await until(() => second.record(tenant, [...events, d, e, other], STORED), ({ duplicates }) => duplicates === 6);
    await expectExactly(tenant, [...events, d, other, e]);
    expect((await stored(tenant)).filter(isConflict).map(({ raw }) => raw)).toEqual([JSON.stringify(other)]);
    await second.stop();
  });
});

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

describe('a disk that fails', () => {
  it('refuses events and says so, and what was acknowledged before is stored', async () => {
    const { record, recorder, learned, disk, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(2);
    await record(tenant, events);
    expect(recorder.state.refusing).toBeUndefined();
    disk.before = (operation) => {
      if (operation === 'sync') throw failure('EIO');
    };
    await expect(record(tenant, some(1))).rejects.toBeInstanceOf(NotRecorded);
    disk.before = () => {};
    expect(recorder.state.refusing).toBe('the disk has failed (EIO), and the service must be started anew');
    await expect(record(tenant, some(1))).rejects.toThrow('the disk has failed');
    await stop();
    expect((await stored(tenant)).map(({ raw }) => raw)).toEqual(expect.arrayContaining(events.map((event) => JSON.stringify(event))));
  });

  it('for want of space refuses what does not fit; a repeat is recorded, without a hole', async () => {
    const clock = { ...systemClock, ms: 0, nowMs: () => Date.now() + clock.ms };
    const { record, recorder, learned, disk, stop, store, folder } = await start({ clock });
    await learned();
    const tenant = unique('t');
    const [a, b, c] = some(3) as [AuditEvent, AuditEvent, AuditEvent];
    await record(tenant, [a], STORED);
    const back = away(store);
    disk.space = 200;
    await expect(record(tenant, [b])).rejects.toBeInstanceOf(NotRecorded);
    expect(recorder.state.refusing).toBe('the disk is full');
    await expect(record(tenant, [b])).rejects.toThrow('the disk is full');
    for (let attempt = 0; attempt < 6; attempt++) {
      clock.ms += 1000;
      disk.space = attempt % 2 === 0 ? 0 : 50;
      await expect(record(tenant, [b, c])).rejects.toBeInstanceOf(NotRecorded);
    }
    disk.space = Number.POSITIVE_INFINITY;
    clock.ms += 1000;
    expect(await record(tenant, [b])).toMatchObject({ accepted: 1 });
    back();
    expect(await record(tenant, [a, b, c], STORED)).toMatchObject({ duplicates: expect.any(Number) });
    await stop();
    expect((await stored(tenant)).map(({ raw }) => raw).toSorted()).toEqual([a, b, c].map((event) => JSON.stringify(event)).toSorted());
    await expectExactly(tenant, [a, b, c]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('for a moment, when a left segment is tested, does not make its events new', async () => {
    const tenant = unique('t');
    const first = await start();
    await first.learned();
    const events = some(3);
    const reached = Promise.withResolvers<void>();
    first.disk.before = async (operation) => {
      if (operation !== 'remove') return;
      reached.resolve();
      await Promise.withResolvers<never>().promise;
    };
    await first.record(tenant, events);
    await reached.promise;
    first.kill();
    await expectExactly(tenant, events);
    const telemetry = createTelemetry();
    const gate = Promise.withResolvers<void>();
    const second = await start({ after: first, telemetry, prepare: (store) => holdLearning(store, gate.promise) });
    let reads = 0;
    second.disk.before = (operation) => {
      if (operation === 'read' && reads++ === 0) throw failure('EMFILE');
    };
    gate.resolve();
    await until(() => second.recorder.state.waiting, (waiting) => waiting === 0);
    await expectExactly(tenant, events);
    expect(await metric(telemetry, 'segments_stuck')).toBe(1);
    expect(await second.record(tenant, events, STORED)).toEqual({ accepted: 0, duplicates: 3 });
    await second.stop();
    expect(await segments(first.folder)).toHaveLength(1);
    await finish(second);
    await expectExactly(tenant, events);
    expect(await readdir(first.folder)).toEqual([]);
  });
});

describe('an event that a stricter version of the schema refuses', () => {
  const refusedNow = '{"event_id":"old-1"}';
  const event = toolCall();
  const later = toolCall();

  /** A segment as an earlier version left it, in which it accepted all of this. */
  async function leave(folder: string, tenant: string): Promise<string> {
    const id = randomUUIDv7();
    const buffer = new ByteBuffer(0);
    buffer.append(segmentHeader(id));
    const raws = [JSON.stringify(event), refusedNow, '{"event_id":"old-2"}', JSON.stringify(later)].map((raw) => Buffer.from(raw));
    const accepted = { count: raws.length, raw: (i: number) => raws[i] } as unknown as EventTape;
    writeRecord(buffer, checksumSeed(id), tenant, Number(systemClock.nowMicros()), accepted, withQuarantineIds([refusedOf('{refused before}')]));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `000000000000-${id}.segment`), buffer.view());
    return id;
  }

  it('goes to quarantine, once, however often its segment is read; those beside it are stored without a hole', async () => {
    const tenant = unique('t');
    const folder = join(base, 'left');
    const id = await leave(folder, tenant);
    let last: Started | undefined;
    let ids: string[] = [];
    for (let run = 0; run < 3; run++) {
      const disk = new TestDisk();
      const reached = Promise.withResolvers<void>();
      disk.before = async (operation, path) => {
        if (run === 2 || operation !== 'remove' || !path.includes(id)) return;
        reached.resolve();
        await Promise.withResolvers<never>().promise;
      };
      last = await start({ folder, disk, ...(last === undefined ? {} : { after: last }) });
      if (run < 2) {
        await reached.promise;
        last.kill();
      } else {
        await until(() => last?.recorder.state.waiting, (waiting) => waiting === 0);
        await last.stop();
      }
      const rows = await quarantined(tenant);
      expect(rows.map(({ raw, origin }) => [raw, origin])).toEqual([[refusedNow, `segment:${id}`], ['{"event_id":"old-2"}', `segment:${id}`], ['{refused before}', 'http:key']]);
      if (run > 0) expect(rows.map((row) => row.quarantine_id)).toEqual(ids);
      ids = rows.map((row) => row.quarantine_id);
      await expectExactly(tenant, [event, later]);
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it('goes there also when what was refused before is there already, under the segment\'s token', async () => {
    const tenant = unique('t');
    const folder = join(base, 'left');
    const id = await leave(folder, tenant);
    const [record] = (readSegment(await readFile(join(folder, `000000000000-${id}.segment`)))?.records ?? []) as [SegmentRecord];
    const collectorId = unique('c');
    const { columnNames, block } = encodeQuarantine(record.refused.map((event) => ({
      ...event, tenant, receivedAtMicros: BigInt(record.receivedAtMicros), collectorId, eventId: event.eventId ?? '',
    })));
    await test.store.insertNative('quarantine', columnNames, block, id);
    const { recorder, stop } = await start({ folder, collectorId });
    await until(() => recorder.state.waiting, (waiting) => waiting === 0);
    await stop();
    await expectQuarantined(tenant, [refusedNow, '{"event_id":"old-2"}', '{refused before}']);
    await expectExactly(tenant, [event, later]);
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

describe('time', () => {
  it('of receipt is the clock\'s, and late events are flagged', async () => {
    const clock: Clock = { nowMs: () => Number(NOON / 1_000_000n), nowMicros: () => NOON / 1000n + 7n, sleep };
    const { record, stop } = await start({ clock });
    const tenant = unique('t');
    await record(tenant, [toolCall({ time: at(NOON) }), toolCall({ time: at(NOON - 301_000_000_000n) }), toolCall({ time: at(NOON + 61_000_000_000n) })], STORED);
    expect((await stored(tenant)).map(({ flags }) => flags)).toEqual([0, 1, 2]);
    const [row] = await test.store.select('SELECT DISTINCT toString(received_at) AS received_at FROM events WHERE tenant = {tenant: String}', { tenant }, z.object({ received_at: z.string() }));
    expect(row).toEqual({ received_at: '2026-03-01 12:00:00.000007' });
    await stop();
  });
});
