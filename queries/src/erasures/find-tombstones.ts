import { z } from 'zod';
import type { Store } from '../store.ts';

/** What is left of an erased event. */
const Tombstone = z.object({
  tenant: z.string(),
  collector_id: z.string(),
  log_index: z.coerce.number(),
  event_id: z.string(),
  /** Microseconds since the Unix epoch. */
  received_at_us: z.coerce.bigint(),
  /** SHA-256(salt || bytes), lower-case hex. */
  digest_hex: z.string(),
  /** Signed: who, when, why. */
  note: z.string(),
});
export type Tombstone = z.infer<typeof Tombstone>;

const tombstones = (where: string): string => `
  SELECT tenant, collector_id, log_index, event_id, toUnixTimestamp64Micro(received_at) AS received_at_us, lower(hex(digest)) AS digest_hex, e.note AS note
  FROM (SELECT * FROM event_tombstones WHERE tenant = {tenant: String} AND ${where} LIMIT 1 BY tenant, collector_id, log_index) AS t
  ANY LEFT JOIN (SELECT erasure_id, note FROM erasures WHERE tenant = {tenant: String}) AS e USING (erasure_id)
  ORDER BY collector_id, log_index`;

/** Erased events by their id. */
export function tombstonesOf(store: Store, tenant: string, eventId: string): Promise<Tombstone[]> {
  return store.select(tombstones('event_id = {event_id: String}'), { tenant, event_id: eventId }, Tombstone);
}

/** Erased events of a log by their places, [from, to). */
export function tombstonesIn(store: Store, tenant: string, collectorId: string, from: number, to: number): Promise<Tombstone[]> {
  return store.select(
    tombstones('collector_id = {collector_id: String} AND log_index >= {from: UInt64} AND log_index < {to: UInt64}'),
    { tenant, collector_id: collectorId, from, to }, Tombstone,
  );
}
