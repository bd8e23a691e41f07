import { z } from 'zod';
import type { Params, Store } from '../store.ts';

const Row = z.object({
  quarantine_id: z.string(),
  received_at_us: z.coerce.bigint(),
  collector_id: z.string(),
  origin: z.string(),
  event_id: z.string(),
  errors: z.string(),
  raw_base64: z.string(),
});

export type QuarantinedRow = z.infer<typeof Row>;

export interface ListQuarantine {
  readonly tenant: string;
  readonly fromUs: bigint;
  readonly toUs: bigint;
  readonly order: 'asc' | 'desc';
  readonly limit: number;
  readonly after?: { readonly receivedAtUs: bigint; readonly quarantineId: string } | undefined;
}

/** Refused events by time of receipt. Bytes come as base64: they need not be UTF-8. */
export function listQuarantine(store: Store, query: ListQuarantine): Promise<QuarantinedRow[]> {
  const direction = query.order === 'asc' ? 'ASC' : 'DESC';
  const params: Record<string, Params[string]> = { tenant: query.tenant, from_us: query.fromUs, to_us: query.toUs, row_limit: query.limit };
  let position = '';
  if (query.after !== undefined) {
    position = `AND (received_at, quarantine_id) ${query.order === 'asc' ? '>' : '<'} (fromUnixTimestamp64Micro({after_us: Int64}), {after_id: UUID})`;
    Object.assign(params, { after_us: query.after.receivedAtUs, after_id: query.after.quarantineId });
  }
  return store.select(
    `
  SELECT quarantine_id, toUnixTimestamp64Micro(received_at) AS received_at_us, collector_id, origin, event_id, errors,
         base64Encode(raw) AS raw_base64
  FROM quarantine
  WHERE tenant = {tenant: String}
    AND received_at >= fromUnixTimestamp64Micro({from_us: Int64}) AND received_at < fromUnixTimestamp64Micro({to_us: Int64})
    ${position}
  ORDER BY received_at ${direction}, quarantine_id ${direction}
  LIMIT {row_limit: UInt32}`,
    params,
    Row,
  );
}
