import { z } from 'zod';
import { INSTANCE } from '../completeness/instance.ts';
import type { Store } from '../store.ts';

const SQL = `
  SELECT tenant, event_id, agent_id, toUnixTimestamp64Nano(time) AS time_ns, collector_id, log_index, flags, emitter, ${INSTANCE} AS instance, has_sequence, sequence,
         lower(hex(SHA256(raw))) AS sha256
  FROM events
  WHERE tenant = {tenant: String} AND event_id IN {event_ids: Array(String)}
  ORDER BY event_id, received_at, collector_id, log_index`;

const Row = z.object({
  tenant: z.string(),
  event_id: z.string(),
  agent_id: z.string(),
  time_ns: z.coerce.bigint(),
  collector_id: z.string(),
  log_index: z.coerce.number(),
  flags: z.number(),
  emitter: z.string(),
  instance: z.string(),
  has_sequence: z.boolean(),
  sequence: z.coerce.number(),
  sha256: z.string(),
});

export type RecordedRow = z.infer<typeof Row>;

/** Every row recorded under one of these ids; of each id, the first recorded first. */
export function recordedUnder(store: Store, tenant: string, eventIds: readonly string[]): Promise<RecordedRow[]> {
  return store.select(SQL, { tenant, event_ids: eventIds }, Row);
}
