import type { LogRows, LogRun } from '@agent-audit/tlog';
import { z } from 'zod';
import { ByteBuffer } from '../native/index.ts';
import type { Store } from '../store.ts';

const SQL = `
  SELECT log_index, toUnixTimestamp64Micro(received_at), event_id, raw
  FROM events
  WHERE tenant = {tenant: String} AND collector_id = {collector_id: String} AND log_index >= {from: UInt64} AND log_index < {to: UInt64}
  ORDER BY log_index
  FORMAT RowBinary`;

const SIZE = `
  SELECT max(log_index) + 1 AS size, count() AS rows
  FROM events
  WHERE tenant = {tenant: String} AND collector_id = {collector_id: String}`;

const Size = z.object({ size: z.coerce.number(), rows: z.coerce.number() });

/** Events that are read at once: their bytes are sorted in ClickHouse's memory. */
const SLICE = 20_000;
const WORD_BYTES = 8;

/**
 * What a tenant's log needs of the events that a collector recorded, from a place on, in order. @param end place before which it ends
 *
 * @throws StoreError
 */
export async function* readLogRows(store: Store, tenant: string, collectorId: string, firstIndex: number, end = Infinity): AsyncGenerator<LogRows> {
  for (let from = firstIndex, size = Infinity; from < size; from += SLICE) {
    if (size === Infinity) size = Math.min(end, await logSize(store, tenant, collectorId));
    if (from >= size) return;
    const to = Math.min(size, from + SLICE);
    yield toLogRows(await gather(store, { tenant, collector_id: collectorId, from, to }), tenant, from, to);
  }
}

async function logSize(store: Store, tenant: string, collectorId: string): Promise<number> {
  const [row] = await store.select(SIZE, { tenant, collector_id: collectorId }, Size);
  return row === undefined || row.rows === 0 ? 0 : row.size;
}

async function gather(store: Store, params: Readonly<Record<string, string | number>>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of store.stream(SQL, params)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** RowBinary, taken apart by columns; places without a row are runs of their own. */
function toLogRows(bytes: Buffer, tenant: string, from: number, to: number): LogRows {
  const [receivedAt, eventIds, raws] = [new ByteBuffer(), new ByteBuffer(), new ByteBuffer(bytes.length)];
  const runs: LogRun[] = [];
  let next = from;
  const fill = (place: number): void => {
    if (place > next) runs.push({ tenant, firstIndex: next, rows: place - next, missing: true });
    next = place;
  };
  for (let at = 0; at < bytes.length; ) {
    const place = Number(bytes.readBigUInt64LE(at));
    // Two rows with one place: the log has room for the first.
    const fresh = place >= next;
    fill(Math.max(place, next));
    at += WORD_BYTES;
    if (fresh) receivedAt.append(bytes.subarray(at, at + WORD_BYTES));
    at += WORD_BYTES;
    for (const column of [eventIds, raws]) {
      const end = endOfString(bytes, at);
      if (fresh) column.append(bytes.subarray(at, end));
      at = end;
    }
    if (!fresh) continue;
    next = place + 1;
    const last = runs.at(-1);
    if (last === undefined || last.missing === true) runs.push({ tenant, firstIndex: place, rows: 1 });
    else runs[runs.length - 1] = { ...last, rows: last.rows + 1 };
  }
  fill(to);
  return { receivedAt: receivedAt.view(), eventIds: eventIds.view(), raws: raws.view(), runs };
}

function endOfString(bytes: Buffer, from: number): number {
  let at = from;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++] as number;
    length += (byte & 0x7f) << shift;
    if (byte < 0x80) return at + length;
  }
}
