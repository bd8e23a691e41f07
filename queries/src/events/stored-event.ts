import { z } from 'zod';
import { FLAG_BITS } from './flags.ts';

/** A conflict that was noticed only after it was recorded; see `event_marks`. The statement binds `tenant`. */
const MARKED = `(agent_id, time, event_id, collector_id, log_index) IN (
      SELECT agent_id, time, event_id, collector_id, log_index FROM event_marks WHERE tenant = {tenant: String} AND mark = 'conflict')`;

/** The columns that an answer about one event is made of. */
export const STORED_EVENT_COLUMNS = `
    event_id, agent_id, toUnixTimestamp64Nano(time) AS time_ns, toUnixTimestamp64Micro(received_at) AS received_at_us,
    tenant, collector_id, log_index, flags, ${MARKED} AS in_conflict, raw`;

const Row = z.object({
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
  in_conflict: z.number(),
  raw: z.string(),
});

export const StoredEvent = Row.transform(({ in_conflict: inConflict, ...row }) => ({ ...row, flags: inConflict === 1 ? row.flags | FLAG_BITS.conflict : row.flags }));

export type StoredEvent = z.infer<typeof StoredEvent>;
