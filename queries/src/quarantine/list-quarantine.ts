import { z } from 'zod';
import type { Params, Store } from '../store.ts';

export const QUARANTINED_COLUMNS = 'quarantine_id, toUnixTimestamp64Micro(received_at) AS received_at_us, collector_id, origin, event_id, errors, bytes';

export const QuarantinedRow = z.object({
  quarantine_id: z.string(),
  received_at_us: z.coerce.bigint(),
  collector_id: z.string(),
  origin: z.string(),
  event_id: z.string(),
  errors: z.string(),
  bytes: z.coerce.number(),
});

/** An entry without its bytes: see `readQuarantined`. */
export type QuarantinedRow = z.infer<typeof QuarantinedRow>;

export type QuarantineState = 'quarantined' | 'replayed';

export interface ListQuarantine {
  readonly tenant: string;
  readonly fromUs: bigint;
  readonly toUs: bigint;
  readonly order: 'asc' | 'desc';
  readonly limit: number;
  /** Only entries in this state; absent: all. */
  readonly state?: QuarantineState | undefined;
  /** Only entries with an error of this code. */
  readonly code?: string | undefined;
  readonly after?: { readonly receivedAtUs: bigint; readonly quarantineId: string } | undefined;
}

const WINDOW = `tenant = {tenant: String}
    AND received_at >= fromUnixTimestamp64Micro({from_us: Int64}) AND received_at < fromUnixTimestamp64Micro({to_us: Int64})`;

/** Refused events by time of receipt, without their bytes. */
export function listQuarantine(store: Store, query: ListQuarantine): Promise<QuarantinedRow[]> {
  const direction = query.order === 'asc' ? 'ASC' : 'DESC';
  const params: Record<string, Params[string]> = { tenant: query.tenant, from_us: query.fromUs, to_us: query.toUs, row_limit: query.limit };
  const conditions = [WINDOW];
  if (query.state !== undefined) {
    conditions.push(`quarantine_id ${query.state === 'replayed' ? 'IN' : 'NOT IN'} (SELECT quarantine_id FROM quarantine_replays WHERE ${WINDOW})`);
  }
  if (query.code !== undefined) {
    conditions.push("arrayExists(error -> JSONExtractString(error, 'code') = {code: String}, JSONExtractArrayRaw(errors))");
    params['code'] = query.code;
  }
  if (query.after !== undefined) {
    conditions.push(`(received_at, quarantine_id) ${query.order === 'asc' ? '>' : '<'} (fromUnixTimestamp64Micro({after_us: Int64}), {after_id: UUID})`);
    Object.assign(params, { after_us: query.after.receivedAtUs, after_id: query.after.quarantineId });
  }
  const sql = `
  SELECT ${QUARANTINED_COLUMNS}
  FROM quarantine
  WHERE ${conditions.join('\n    AND ')}
  ORDER BY received_at ${direction}, quarantine_id ${direction}
  LIMIT {row_limit: UInt32}`;
  return store.select(sql, params, QuarantinedRow);
}
