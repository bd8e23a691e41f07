import { DateTime64Column, encodeBlock, LowCardinalityColumn, StringColumn, UuidColumn, type Block, type Column } from '../native/index.ts';

/** A refused event, with all that is needed to look at it and to replay it. */
export interface QuarantineRow {
  readonly tenant: string;
  readonly quarantineId: string;
  readonly receivedAtMicros: bigint;
  readonly collectorId: string;
  /** How it came in, such as `http:<key id>`. */
  readonly origin: string;
  readonly eventId: string;
  readonly errors: readonly { readonly path: string; readonly code: string; readonly message: string }[];
  readonly raw: Uint8Array;
}

const newColumns = () => ({
  tenant: new LowCardinalityColumn(),
  received_at: new DateTime64Column(6),
  quarantine_id: new UuidColumn(),
  collector_id: new LowCardinalityColumn(),
  origin: new StringColumn(),
  event_id: new StringColumn(),
  errors: new StringColumn(),
  raw: new StringColumn(),
}) satisfies Record<string, Column>;

/** One Native block for the table `quarantine`. */
export function encodeQuarantine(rows: readonly QuarantineRow[]): { columnNames: string[]; block: Block } {
  const to = newColumns();
  for (const row of rows) {
    to.tenant.append(row.tenant);
    to.received_at.appendTicks(row.receivedAtMicros);
    to.quarantine_id.append(row.quarantineId);
    to.collector_id.append(row.collectorId);
    to.origin.append(row.origin);
    to.event_id.append(row.eventId);
    to.errors.append(JSON.stringify(row.errors));
    to.raw.appendBytes(row.raw);
  }
  return { columnNames: Object.keys(to), block: encodeBlock(to, rows.length) };
}
