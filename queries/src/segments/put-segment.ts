import type { Store } from '../store.ts';

const SQL = `
  INSERT INTO segments (segment_id, collector_id, first_received_at, last_received_at)
  SELECT {segment_id: UUID}, {collector_id: String}, fromUnixTimestamp64Micro({first_us: Int64}), fromUnixTimestamp64Micro({last_us: Int64})`;

/** Tells other collectors that a segment is stored. @param firstUs @param lastUs when its rows were received, both included */
export function putSegment(store: Store, collectorId: string, segmentId: string, firstUs: number, lastUs: number): Promise<void> {
  return store.command(SQL, { segment_id: segmentId, collector_id: collectorId, first_us: firstUs, last_us: lastUs });
}
