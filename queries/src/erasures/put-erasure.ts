import { DateTime64Column, encodeBlock, LowCardinalityColumn, StringColumn, UuidColumn, type Column } from '../native/index.ts';
import { INSTANCE } from '../completeness/instance.ts';
import type { Store } from '../store.ts';

const ROWS = 'tenant = {tenant: String} AND collector_id = {collector_id: String} AND has({places: Array(String)}, toString(log_index))';

/** Events of one log that are erased together. */
export interface Erasure {
  readonly tenant: string;
  readonly collectorId: string;
  /** UUID. */
  readonly erasureId: string;
  /** Microseconds since the Unix epoch. */
  readonly erasedAtMicros: bigint;
  /** Who, when, why and which, signed. */
  readonly note: string;
  readonly events: readonly ErasedEvent[];
}

export interface ErasedEvent {
  readonly logIndex: number;
  /** SHA-256(salt || bytes), lower-case hex. */
  readonly digestHex: string;
}

/**
 * Writes down what is erased, and then erases it: first the reason, then what is left of each event, then its row. Broken off,
 * it is finished by the same request made again. Resolves when the bytes are out of ClickHouse's tables.
 *
 * @throws StoreError
 */
export async function putErasure(store: Store, { tenant, collectorId, erasureId, erasedAtMicros, note, events }: Erasure): Promise<void> {
  const erasure = {
    tenant: new LowCardinalityColumn(), collector_id: new LowCardinalityColumn(), erasure_id: new UuidColumn(), erased_at: new DateTime64Column(6), note: new StringColumn(),
  } satisfies Record<string, Column>;
  erasure.tenant.append(tenant);
  erasure.collector_id.append(collectorId);
  erasure.erasure_id.append(erasureId);
  erasure.erased_at.appendTicks(erasedAtMicros);
  erasure.note.append(note);
  const places = events.map(({ logIndex }) => String(logIndex));
  await store.insertNative('erasures', Object.keys(erasure), encodeBlock(erasure, 1), erasureId);
  await store.command(
    `INSERT INTO event_tombstones (tenant, collector_id, log_index, event_id, received_at, digest, erasure_id, emitter, instance, has_sequence, sequence)
     SELECT tenant, collector_id, log_index, event_id, received_at, unhex({digests: Array(String)}[indexOf({places: Array(String)}, toString(log_index))]), {erasure_id: UUID},
            emitter, ${INSTANCE}, has_sequence, sequence
     FROM events
     WHERE ${ROWS}`,
    { tenant, collector_id: collectorId, erasure_id: erasureId, places, digests: events.map(({ digestHex }) => digestHex) },
  );
  await store.command(`ALTER TABLE events DELETE WHERE ${ROWS} SETTINGS mutations_sync = 2`, { tenant, collector_id: collectorId, places });
}
