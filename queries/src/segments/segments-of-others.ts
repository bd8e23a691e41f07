import { z } from 'zod';
import type { Store } from '../store.ts';

/** Segments to an answer. */
export const SEGMENTS_PAGE = 1000;

const SQL = `
  SELECT DISTINCT segment_id, toUnixTimestamp64Micro(stored_at) AS stored_at_us,
         toUnixTimestamp64Micro(first_received_at) AS first_us, toUnixTimestamp64Micro(last_received_at) AS last_us
  FROM segments
  WHERE collector_id != {collector_id: String} AND stored_at >= fromUnixTimestamp64Micro({since_us: Int64})
  ORDER BY stored_at
  LIMIT ${SEGMENTS_PAGE}`;

const Row = z.object({ segment_id: z.string(), stored_at_us: z.coerce.bigint(), first_us: z.coerce.number(), last_us: z.coerce.number() });

export type StoredSegment = z.infer<typeof Row>;

/** Segments that other collectors stored, the first stored first; `SEGMENTS_PAGE` at most. @param sinceUs by the server's clock */
export function segmentsOfOthers(store: Store, collectorId: string, sinceUs: bigint): Promise<StoredSegment[]> {
  return store.select(SQL, { collector_id: collectorId, since_us: sinceUs }, Row);
}

const CLOCK = z.object({ now_us: z.coerce.bigint() });

/** The server's clock, microseconds since the Unix epoch. */
export async function serverClock(store: Store): Promise<bigint> {
  const [row] = await store.select('SELECT toUnixTimestamp64Micro(now64(6)) AS now_us', {}, CLOCK);
  return row?.now_us ?? 0n;
}
