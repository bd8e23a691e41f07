import { DateTime64Column, encodeBlock, LowCardinalityColumn, StringColumn, UuidColumn, type Column } from '../native/index.ts';
import type { Store } from '../store.ts';

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
  readonly eventId: string;
  readonly receivedAtMicros: bigint;
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
    `INSERT INTO event_tombstones (tenant, collector_id, log_index, event_id, received_at, digest, erasure_id)
     SELECT {tenant: String}, {collector_id: String}, toUInt64(place), event_id, fromUnixTimestamp64Micro(toInt64(received_at_us), 'UTC'), unhex(digest_hex), {erasure_id: UUID}
     FROM (SELECT 1)
     ARRAY JOIN {places: Array(String)} AS place, {event_ids: Array(String)} AS event_id, {received_at_us: Array(String)} AS received_at_us, {digests: Array(String)} AS digest_hex`,
    {
      tenant, collector_id: collectorId, erasure_id: erasureId, places, event_ids: events.map(({ eventId }) => eventId),
      received_at_us: events.map(({ receivedAtMicros }) => String(receivedAtMicros)), digests: events.map(({ digestHex }) => digestHex),
    },
  );
  await store.command(
    `ALTER TABLE events DELETE
     WHERE tenant = {tenant: String} AND collector_id = {collector_id: String} AND log_index IN (SELECT toUInt64(arrayJoin({places: Array(String)})))
     SETTINGS mutations_sync = 2`,
    { tenant, collector_id: collectorId, places },
  );
}
