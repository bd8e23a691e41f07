import type { Store } from '../store.ts';
import { SEGMENTS_PAGE } from './segments-of-others.ts';

const SQL = `
  INSERT INTO segments (segment_id, collector_id, first_received_at, last_received_at)
  SELECT toUUID(segment.1), {collector_id: String}, fromUnixTimestamp64Micro(toInt64(segment.2)), fromUnixTimestamp64Micro(toInt64(segment.3))
  FROM (SELECT arrayJoin(arrayZip({ids: Array(String)}, {first_us: Array(String)}, {last_us: Array(String)})) AS segment)`;

export interface PutSegment {
  readonly id: string;
  /** When its rows were received, both included, microseconds since the Unix epoch. */
  readonly firstUs: number;
  readonly lastUs: number;
}

/** Segments to an insert: they share a time, and who reads them by pages must find all of it on one. */
export const PUT_SEGMENTS = SEGMENTS_PAGE / 2;

/** Tells other collectors that segments are stored. @param segments at most PUT_SEGMENTS */
export function putSegments(store: Store, collectorId: string, segments: readonly PutSegment[]): Promise<void> {
  return store.command(SQL, {
    collector_id: collectorId, ids: segments.map(({ id }) => id), first_us: segments.map(({ firstUs }) => `${firstUs}`), last_us: segments.map(({ lastUs }) => `${lastUs}`),
  });
}
