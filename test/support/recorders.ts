import { randomUUIDv7 } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeQuarantine, Store, StoreError } from '@agent-audit/queries';
import { EventTape, type AuditEvent } from '@agent-audit/schemas';
import { createTelemetry, systemClock, type Clock, type Telemetry } from '@agent-audit/shared';
import type { EventLogs } from '@agent-audit/tlog';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { z } from 'zod';
import { TestDisk } from './disk.ts';
import { toolCall } from './events.ts';
import { startTestStore, type TestStore } from './store.ts';
import { until } from './until.ts';
import type { RecordResult } from '../../services/collector/src/event-sink.ts';
import { Recorder } from '../../services/collector/src/recorder.ts';
import type { Refused } from '../../services/collector/src/segments/format.ts';

/** Recorders over one engine, for the tests of the file that imports this: each with a store and a disk that a test may let fail. */
export let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());

export let base: string;
const stores: Store[] = [];
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'agent-audit-recorder-'));
});
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
  await rm(base, { recursive: true, force: true });
});

export function tapeOf(events: readonly AuditEvent[]): EventTape {
  const tape = new EventTape();
  for (const event of events) expect(tape.take(Buffer.from(JSON.stringify(event)))).toBeUndefined();
  return tape;
}

let names = 0;
export const unique = (what: string): string => `${what}-${++names}`;
export const some = (count: number): AuditEvent[] => Array.from({ length: count }, () => toolCall());
export const refusedOf = (raw: string): Refused => ({ origin: 'http:key', eventId: undefined, errors: [{ path: '/time', code: 'required', message: 'is missing' }], raw: Buffer.from(raw) });

/** Long enough for anything that is stored at all. */
export const STORED = { waitMs: 30_000 };

export interface Started {
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

export interface StartOptions {
  /** Of a recorder before: the same folder and id. */
  readonly after?: Started;
  readonly clock?: Clock;
  readonly telemetry?: Telemetry;
  readonly disk?: TestDisk;
  readonly logs?: EventLogs;
  readonly folder?: string;
  readonly collectorId?: string;
  /** Changes the store before the recorder sees it. */
  readonly prepare?: (store: Store) => void;
}

/** Making one takes long, and few tests look at it. */
export const quiet = createTelemetry();

/** A recorder with a store and a disk of its own, which a test may let fail. */
export async function start({ after, clock = systemClock, telemetry = quiet, disk = new TestDisk(), prepare, logs, ...options }: StartOptions = {}): Promise<Started> {
  const store = new Store(test.options);
  stores.push(store);
  prepare?.(store);
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const collectorId = after?.collectorId ?? options.collectorId ?? unique('c');
  const folder = after?.folder ?? options.folder ?? join(base, collectorId);
  const recorder = new Recorder({ store, collectorId, folder, disk, maxBytes: 2 ** 40, reserveBytes: 0, log, clock, telemetry, ...(logs === undefined ? {} : { logs }) });
  await recorder.start();
  return {
    recorder, store, disk, collectorId, folder, lines,
    record: async (tenant, events, { refused = [], waitMs = 0 } = {}) => {
      const since = clock.monotonicMs();
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
export async function finish(after: Started): Promise<Started> {
  const next = await start({ after });
  await until(() => next.recorder.state.waiting, (waiting) => waiting === 0, 30_000);
  await next.stop();
  return next;
}

export const Row = z.object({ event_id: z.string(), log_index: z.coerce.number(), flags: z.number(), segment_id: z.string(), raw: z.string() });

/** What is stored of a tenant, in the order of recording at each collector. */
export function stored(tenant: string): Promise<z.infer<typeof Row>[]> {
  return test.store.select('SELECT event_id, log_index, flags, segment_id, raw FROM events WHERE tenant = {tenant: String} ORDER BY collector_id, log_index', { tenant }, Row);
}

export const Refusal = z.object({ quarantine_id: z.string(), origin: z.string(), raw: z.string() });

export function quarantined(tenant: string): Promise<z.infer<typeof Refusal>[]> {
  return test.store.select('SELECT quarantine_id, origin, raw FROM quarantine WHERE tenant = {tenant: String} ORDER BY raw', { tenant }, Refusal);
}

/** Each event once, and positions from 0 without holes. */
export async function expectExactly(tenant: string, events: readonly AuditEvent[]): Promise<void> {
  const rows = await stored(tenant);
  expect(rows.map(({ raw }) => raw).toSorted()).toEqual(events.map((event) => JSON.stringify(event)).toSorted());
  expect(rows.map((row) => row.log_index)).toEqual(events.map((_, i) => i));
}

export async function expectQuarantined(tenant: string, raws: readonly string[]): Promise<void> {
  expect((await quarantined(tenant)).map(({ raw }) => raw)).toEqual(raws.toSorted());
}

export const isConflict = (row: { flags: number }): boolean => (row.flags & 4) === 4;

export interface Insert {
  readonly table: string;
  readonly token: string;
  readonly run: () => Promise<void>;
  /** As ClickHouse does that died between the token and the part: it knows the token, and has no rows. */
  readonly onlyToken: () => Promise<void>;
}

/** Replaces what inserting does. */
export function onInsert(store: Store, run: (insert: Insert) => Promise<void>): () => void {
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
export function holdLearning(store: Store, released: Promise<void>): void {
  const stream = store.stream.bind(store);
  store.stream = async function* (...args) {
    await released;
    yield* stream(...args);
  };
}

export const gone = (): StoreError => new StoreError('ClickHouse did not answer: gone', undefined);
export const away = (store: Store): (() => void) => onInsert(store, () => Promise.reject(gone()));

/** A clock of which a test says the month: events of another month go into another segment. */
export function monthly(): Clock & { month: number } {
  const clock = {
    month: 0,
    monotonicMs: () => Date.now(),
    nowMicros: () => BigInt(Date.UTC(2026, clock.month, 15) * 1000) + systemClock.nowMicros() % 1_000_000_000n,
    sleep: (ms: number) => sleep(Math.min(ms, 20)),
  };
  return clock;
}

export const segments = async (folder: string): Promise<string[]> => (await readdir(folder)).filter((name) => name.endsWith('.segment')).toSorted();
export const metric = async (telemetry: Telemetry, name: string): Promise<number> => Number(new RegExp(`^agent_audit_${name} (\\S+)$`, 'm').exec((await telemetry.expose()).text)?.[1]);
