import type { Store } from '../store.ts';
import { FLAG_BITS } from './flags.ts';
import { STORED_EVENT_COLUMNS, StoredEvent } from './stored-event.ts';

const SQL = `
  SELECT ${STORED_EVENT_COLUMNS}
  FROM events
  WHERE tenant = {tenant: String} AND event_id = {event_id: String}
  ORDER BY bitAnd(flags, {conflict: UInt8}), received_at, collector_id, log_index
  LIMIT 100`;

/**
 * Everything recorded under one id, the first recorded first; more than one entry is a conflict.
 *
 * Which was first is what the collector saw when it recorded them: times of receipt only say so as long as nobody sets
 * the clock back.
 */
export async function getEvent(store: Store, tenant: string, eventId: string): Promise<StoredEvent[]> {
  const rows = await rowsUnder(store, tenant, eventId);
  const seen = new Set<string>();
  return rows.filter((row) => !seen.has(row.raw) && seen.add(row.raw));
}

/** As `getEvent`, with the same bytes as often as they were recorded: two collectors may each have them. */
export function rowsUnder(store: Store, tenant: string, eventId: string): Promise<StoredEvent[]> {
  return store.select(SQL, { tenant, event_id: eventId, conflict: FLAG_BITS.conflict }, StoredEvent);
}
