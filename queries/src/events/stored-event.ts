import { z } from 'zod';

/** The columns that an answer about one event is made of. */
export const STORED_EVENT_COLUMNS = `
    event_id, agent_id, toUnixTimestamp64Nano(time) AS time_ns, toUnixTimestamp64Micro(received_at) AS received_at_us,
    tenant, collector_id, log_index, flags, raw`;

export const StoredEvent = z.object({
  event_id: z.string(),
  agent_id: z.string(),
  /** Nanoseconds since the Unix epoch; the column's type, so exact. */
  time_ns: z.coerce.bigint(),
  /** Microseconds since the Unix epoch. */
  received_at_us: z.coerce.bigint(),
  tenant: z.string(),
  collector_id: z.string(),
  log_index: z.coerce.number(),
  flags: z.number(),
  raw: z.string(),
});

export type StoredEvent = z.infer<typeof StoredEvent>;
