import { EventTape } from '@agent-audit/schemas';
import { z } from 'zod';
import { BlockReader, BlockWriter } from '../native/index.ts';
import { StoreError } from '../store-error.ts';
import type { Store } from '../store.ts';
import { EventBlockEncoder } from './event-block.ts';
import { FLAG_BITS } from './flags.ts';

/** A tenant's events at one collector. */
export interface LogRowsOf {
  readonly tenant: string;
  readonly collectorId: string;
}

/** Rows of the table as they are stored, and where they are not what their bytes say. Valid until the next block. */
export interface StoredBlock {
  readonly rows: number;
  readonly bytes: Buffer;
  /** Where in `bytes` the log_index of the first row begins, and that of received_at: 64 bits each, little-endian. */
  readonly indexesAt: number;
  readonly timesAt: number;
  /** Of each row, from and to in `bytes`. */
  readonly ids: Int32Array;
  readonly raws: Int32Array;
  /** Rows with columns that are not those of their bytes, and the names of these. */
  readonly differing: ReadonlyMap<number, readonly string[]>;
  /** Rows whose bytes are no event: nothing can be derived from them. */
  readonly unreadable: ReadonlySet<number>;
}

const NOT_DERIVED = new Set(['tenant', 'collector_id', 'segment_id', 'log_index', 'received_at', 'raw', 'event_id']);
const PLAIN = new EventBlockEncoder('plain');
const DERIVED = PLAIN.columnNames.filter((name) => !NOT_DERIVED.has(name));
const ORIGIN = { segmentId: '0'.repeat(32), collectorId: '' };
/** Stands in the place of what is no event, so that rows keep their places. */
const PLACEHOLDER = Buffer.from('{"event_id":"-","time":"2000-01-01T00:00:00Z","kind":"tool_call","agent":{"id":"-"},"tool":{"name":"-"},"action":"other","outcome":{"status":"unknown"}}');
/** Whatever was once accepted is read: limits may have been others. */
const LIMITS = { eventBytes: Number.MAX_SAFE_INTEGER, nesting: 4096 };

function selected(name: string): string {
  // Whether a conflict was known is not in the bytes.
  if (name === 'flags') return `bitAnd(flags, ${FLAG_BITS.late | FLAG_BITS.future}) AS flags`;
  const type = PLAIN.column(name)?.type as string;
  // Else text with few values would come with a dictionary.
  return type.includes('String') ? `CAST(${name} AS ${type}) AS ${name}` : name;
}

// One thread of the engine for each that asks.
const SELECT = `
  SELECT log_index, received_at, event_id, raw, ${DERIVED.map(selected).join(', ')}
  FROM events
  WHERE tenant = {tenant: String} AND collector_id = {collector_id: String}`;
const FORMAT = `
  SETTINGS max_threads = 1
  FORMAT Native`;
const SLICE = `${SELECT} AND log_index >= {from: UInt64} AND log_index < {to: UInt64} ${FORMAT}`;
const PLACES = `${SELECT} AND log_index IN {places: Array(UInt64)} ORDER BY log_index ${FORMAT}`;

/**
 * All stored rows with places from `from` on and before `to`, in any order, each compared with what its bytes say.
 *
 * @throws StoreError
 */
export function storedSlice(store: Store, { tenant, collectorId }: LogRowsOf, from: number, to: number): AsyncGenerator<StoredBlock> {
  return blocks(store.stream(SLICE, { tenant, collector_id: collectorId, from, to }));
}

/** The same of some places, in their order. */
export function storedAt(store: Store, { tenant, collectorId }: LogRowsOf, places: readonly number[]): AsyncGenerator<StoredBlock> {
  return blocks(store.stream(PLACES, { tenant, collector_id: collectorId, places }));
}

/** Derives the columns anew, and compares them as ClickHouse sends them: a column at a time, and row by row only where it differs. */
async function* blocks(stream: AsyncIterable<Buffer>): AsyncGenerator<StoredBlock> {
  const reader = new BlockReader(stream);
  const tape = new EventTape();
  const encoder = new EventBlockEncoder('plain');
  const writer = new BlockWriter();
  let ids = new Int32Array(0);
  let raws = new Int32Array(0);
  for (let block = await reader.next(); block !== undefined; block = await reader.next()) {
    const { columns, rows } = block;
    if (rows > raws.length / 2) [ids, raws] = [new Int32Array(2 * rows), new Int32Array(2 * rows)];
    const differing = new Map<number, string[]>();
    const unreadable = new Set<number>();
    await header(reader, 'log_index', encoder);
    const indexesAt = await reader.take(rows * 8);
    await header(reader, 'received_at', encoder);
    const timesAt = await reader.take(rows * 8);
    await header(reader, 'event_id', encoder);
    const idsAt = reader.at;
    await reader.strings(rows, ids);
    const idsEnd = reader.at;
    await header(reader, 'raw', encoder);
    await reader.strings(rows, raws);
    encoder.discard();
    for (let row = 0; row < rows; row++) {
      const { bytes } = reader;
      if (tape.take(bytes, raws[2 * row], raws[2 * row + 1], LIMITS) !== undefined) {
        tape.take(PLACEHOLDER);
        unreadable.add(row);
      }
      const at = timesAt + 8 * row;
      encoder.append(tape, 0, { tenant: '', logIndex: 0, flags: 0, receivedAtMicros: bytes.readInt32LE(at + 4) * 0x1_0000_0000 + bytes.readUInt32LE(at) }, ORIGIN);
      tape.clear();
    }
    const compared = { reader, rows, encoder, writer, differing, unreadable };
    const end = reader.at;
    reader.at = idsAt;
    await compare('event_id', compared);
    if (reader.at !== idsEnd) throw new StoreError('ClickHouse answered with something that is no block', undefined);
    reader.at = end;
    for (const name of DERIVED) {
      await header(reader, name, encoder);
      await compare(name, compared);
    }
    if (columns !== DERIVED.length + 4) throw new StoreError('ClickHouse answered with other columns than were asked for', undefined);
    if (rows > 0) yield { rows, bytes: reader.bytes, indexesAt, timesAt, ids, raws, differing, unreadable };
  }
}

async function header(reader: BlockReader, name: string, encoder: EventBlockEncoder): Promise<void> {
  const [found, type] = [await reader.text(), await reader.text()];
  const expected = encoder.column(name)?.type;
  if (found !== name) throw new StoreError('ClickHouse broke off in the middle of an answer', undefined);
  if (type !== expected) throw new StoreError(`the column ${name} of the table events has the type ${type} instead of ${expected}`, undefined);
}

interface Compared {
  readonly reader: BlockReader;
  readonly rows: number;
  /** Holds the rows as they are derived. */
  readonly encoder: EventBlockEncoder;
  readonly writer: BlockWriter;
  readonly differing: Map<number, string[]>;
  readonly unreadable: ReadonlySet<number>;
}

async function compare(name: string, { reader, rows, encoder, writer, differing, unreadable }: Compared): Promise<void> {
  const column = encoder.column(name);
  if (column === undefined || rows === 0) return;
  writer.clear();
  column.writeValues(writer);
  const parts = writer.parts();
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  if ((await reader.has(size)) && isSame(reader, parts)) {
    reader.at += size;
    return;
  }
  const stored = await reader.values(column.type, rows);
  const derived = await new BlockReader(oneByOne(parts)).values(column.type, rows);
  for (let row = 0; row < rows; row++) {
    if (unreadable.has(row) || (stored[row] as Buffer).equals(derived[row] as Buffer)) continue;
    const names = differing.get(row);
    if (names === undefined) differing.set(row, [name]);
    else names.push(name);
  }
}

function isSame({ bytes, at }: BlockReader, parts: readonly Uint8Array[]): boolean {
  let from = at;
  for (const part of parts) {
    if (bytes.compare(part, 0, part.length, from, from + part.length) !== 0) return false;
    from += part.length;
  }
  return true;
}

async function* oneByOne(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

const TIMES = `
  SELECT log_index, toUnixTimestamp64Micro(received_at) AS received_at_us
  FROM events
  WHERE tenant = {tenant: String} AND collector_id = {collector_id: String} AND log_index IN {places: Array(UInt64)}
  ORDER BY log_index`;

/** When the rows of some places were received, microseconds since the Unix epoch. @throws StoreError */
export async function timesOfReceipt(store: Store, { tenant, collectorId }: LogRowsOf, places: readonly number[]): Promise<Map<number, number>> {
  const rows = await store.select(TIMES, { tenant, collector_id: collectorId, places }, z.object({ log_index: z.coerce.number(), received_at_us: z.coerce.number() }));
  return new Map(rows.map((row) => [row.log_index, row.received_at_us]));
}

const BEYOND = `
  SELECT log_index
  FROM events
  WHERE tenant = {tenant: String} AND collector_id = {collector_id: String} AND log_index >= {from: UInt64}
  ORDER BY log_index
  LIMIT {limit: UInt64}`;

/** Places from `from` on that have rows, in order, each as often as it has rows. @throws StoreError */
export async function placesFrom(store: Store, { tenant, collectorId }: LogRowsOf, from: number, limit: number): Promise<number[]> {
  const rows = await store.select(BEYOND, { tenant, collector_id: collectorId, from, limit }, z.object({ log_index: z.coerce.number() }));
  return rows.map((row) => row.log_index);
}

const RECORDED = `SELECT tenant, collector_id, count() AS rows FROM events GROUP BY tenant, collector_id ORDER BY tenant, collector_id`;

/** Everybody's events at every collector, counted. @throws StoreError */
export function recordedLogs(store: Store): Promise<{ tenant: string; collector_id: string; rows: number }[]> {
  return store.select(RECORDED, {}, z.object({ tenant: z.string(), collector_id: z.string(), rows: z.coerce.number() }));
}
