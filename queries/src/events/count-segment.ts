import { z } from 'zod';
import type { Store } from '../store.ts';

// received_at narrows it to one partition and, sorted or not, to cheap comparisons of one column.
const SQL = `
  SELECT count() AS stored
  FROM events
  WHERE received_at >= fromUnixTimestamp64Micro({first_us: Int64}) AND received_at <= fromUnixTimestamp64Micro({last_us: Int64})
    AND segment_id = {segment_id: UUID}`;

const Row = z.object({ stored: z.coerce.number() });

/**
 * How many rows of a segment are stored: to reconcile an insert that was never answered.
 *
 * @param firstUs @param lastUs when its rows were received, microseconds since the Unix epoch, both included
 */
export async function countSegment(store: Store, segmentId: string, firstUs: number, lastUs: number): Promise<number> {
  const rows = await store.select(SQL, { segment_id: segmentId, first_us: firstUs, last_us: lastUs }, Row);
  return rows[0]?.stored ?? 0;
}
