import { z } from 'zod';
import type { Store } from '../store.ts';

// received_at narrows it to one partition and, sorted or not, to cheap comparisons of one column.
const SQL = `
  SELECT count() AS stored
  FROM events
  WHERE received_at = fromUnixTimestamp64Micro({received_at_us: Int64}) AND segment_id = {segment_id: UUID}`;

const Row = z.object({ stored: z.coerce.number() });

/** How many rows of a segment are stored: to reconcile an insert that was never answered. */
export async function countSegment(store: Store, segmentId: string, receivedAtMicros: bigint): Promise<number> {
  const rows = await store.select(SQL, { segment_id: segmentId, received_at_us: receivedAtMicros }, Row);
  return rows[0]?.stored ?? 0;
}
