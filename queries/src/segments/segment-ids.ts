import { z } from 'zod';
import type { Store } from '../store.ts';

const SQL = `
  SELECT tenant, event_id
  FROM events
  WHERE received_at >= fromUnixTimestamp64Micro({first_us: Int64}) AND received_at <= fromUnixTimestamp64Micro({last_us: Int64})
    AND segment_id = {segment_id: UUID}`;

const Row = z.object({ tenant: z.string(), event_id: z.string() });

/** The ids of a segment's events. */
export function segmentIds(store: Store, segmentId: string, firstUs: number, lastUs: number): Promise<z.infer<typeof Row>[]> {
  return store.select(SQL, { segment_id: segmentId, first_us: firstUs, last_us: lastUs }, Row);
}
