import type { Store } from '../store.ts';

// concat with a NUL between, which neither a tenant's name nor an event_id can hold.
const SQL = `
  SELECT xxHash32(concat(tenant, '\\0', event_id)), murmurHash3_32(concat(tenant, '\\0', event_id))
  FROM events
  FORMAT RowBinary`;

/** Bytes per event in the chunks of `recordedIdHashes`: two UInt32, little-endian. */
export const ID_HASH_BYTES = 8;

/**
 * Two independent 32-bit hashes of every recorded (tenant, event_id), for a filter that knows what is new.
 * The engine's `xxHash32` and `murmurHash3_32` over `tenant NUL event_id`.
 *
 * @returns whole records of `ID_HASH_BYTES`, many to a chunk
 */
export async function* recordedIdHashes(store: Store): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for await (const chunk of store.stream(SQL)) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % ID_HASH_BYTES);
    if (whole > 0) yield bytes.subarray(0, whole);
    rest = Buffer.from(bytes.subarray(whole));
  }
  if (rest.length > 0) throw new Error(`the stream of id hashes ended in the middle of a record (${rest.length} bytes over)`);
}
