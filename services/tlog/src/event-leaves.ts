import { hash } from 'node:crypto';
import { HASH_BYTES, leafHash, type Hash } from './merkle.ts';
import { SALT_BYTES } from './salts.ts';
import { Sha256 } from './sha256.ts';

/*
 * The entry of an event, version 1. What it says is what nobody may change unseen; docs/proof.md has test vectors.
 *
 *     byte      0x01, the version
 *     byte      length of the tenant's name, and the name
 *     byte      length of the event_id, and the event_id
 *     8 bytes   received_at, microseconds since the Unix epoch, big-endian
 *     32 bytes  SHA-256(salt || stored bytes); the salt has 16 bytes
 *
 * The entry of an event that was gone from the record before it was put into the log, after a crash, is the byte 0x02: its
 * place stays, and everybody sees that something was there.
 *
 * Its place in the log is its log_index. The leaf is SHA-256(0x00 || entry), RFC 6962 section 2.1.
 */
const VERSION = 1;
const MISSING = Buffer.of(2);
const TEXT_MAX = 255;
const ENTRY_MAX = 1 + 2 * (1 + TEXT_MAX) + 8 + HASH_BYTES;
const WORD = 2 ** 32;
/** Of an event and its salt; larger ones are taken too. */
const SALTED_BYTES = 1 << 16;

/** Of an event, what its leaf is made of. */
export interface LoggedEvent {
  readonly tenant: string;
  readonly eventId: string;
  /** Microseconds since the Unix epoch. */
  readonly receivedAtMicros: number;
  /** SHA-256(salt || stored bytes): what is left of the bytes when they are erased. */
  readonly digest: Uint8Array;
}

/** SHA-256(salt || raw). @param raw the event's bytes as stored */
export function saltedDigest(salt: Uint8Array, raw: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([salt, raw]), 'buffer');
}

/** @throws RangeError for a name of more than 255 bytes */
export function eventEntry({ tenant, eventId, receivedAtMicros, digest }: LoggedEvent): Buffer {
  const entry = Buffer.alloc(ENTRY_MAX);
  let at = putText(entry, putByte(entry, 0, VERSION), tenant);
  at = putText(entry, at, eventId);
  at = putMicros(entry, at, receivedAtMicros);
  entry.set(digest, at);
  return entry.subarray(0, at + HASH_BYTES);
}

export function eventLeaf(event: LoggedEvent): Hash {
  return leafHash(eventEntry(event));
}

/** The leaf of an event that was gone before it was put into the log. */
export const MISSING_LEAF: Hash = leafHash(MISSING);

/** Events of one tenant with consecutive places in its log. */
export interface LogRun {
  readonly tenant: string;
  readonly firstIndex: number;
  readonly rows: number;
  /** There are no rows: the events were gone before they were put into the log. */
  readonly missing?: true;
}

/** Events on their way into logs, by columns, as ClickHouse's Native format has them. */
export interface LogRows {
  /** For each row the length as LEB128, and the bytes. */
  readonly eventIds: Uint8Array;
  /** Stored bytes of each row, in the same way. */
  readonly raws: Uint8Array;
  /** Microseconds since the Unix epoch, 64 bits each, little-endian. */
  readonly receivedAt: Uint8Array;
  /** All rows, in order. */
  readonly runs: readonly LogRun[];
}

/**
 * Leaves of many events, without an object for any of them.
 *
 * @param saltsOf the salts of a run, one behind the other
 * @param take given the leaves of each run, 32 bytes each, valid until it returns
 */
export function leavesOf(rows: LogRows, saltsOf: (run: LogRun) => Uint8Array, take: (run: LogRun, leaves: Buffer) => void): void {
  const ids = new Strings(rows.eventIds);
  const raws = new Strings(rows.raws);
  const times = new DataView(rows.receivedAt.buffer, rows.receivedAt.byteOffset, rows.receivedAt.byteLength);
  const hasher = new LeafHasher();
  let row = 0;
  for (const run of rows.runs) {
    const leaves = Buffer.alloc(run.rows * HASH_BYTES);
    if (run.missing === true) {
      take(run, leaves.fill(MISSING_LEAF));
      continue;
    }
    const salts = saltsOf(run);
    hasher.tenant = run.tenant;
    for (let i = 0; i < run.rows; i++, row++) {
      raws.next();
      ids.next();
      hasher.salt(salts, i * SALT_BYTES, rows.raws, raws.at, raws.length);
      hasher.hash(rows.eventIds, ids.at, ids.length, times.getUint32(row * 8 + 4, true), times.getUint32(row * 8, true), leaves, i * HASH_BYTES);
    }
    take(run, leaves);
  }
}

/** Hashes leaves one after the other, without an object for any of them: for each, `salt`, then `hash`. */
export class LeafHasher {
  /** 0x00 in front: of the entry that is hashed as a leaf. */
  readonly #entry = new Sha256(1 + ENTRY_MAX);
  readonly #salted = new Sha256(SALTED_BYTES);
  #size = 0;
  #afterTenant = 0;

  /** Whose the leaves are from now on. */
  set tenant(tenant: string) {
    this.#afterTenant = putText(this.#entry.input, putByte(this.#entry.input, 1, VERSION), tenant);
  }

  /** @param raws hold the event's stored bytes from `at` on */
  salt(salts: Uint8Array, saltAt: number, raws: Uint8Array, at: number, length: number): void {
    this.#size = SALT_BYTES + length;
    this.#salted.reserve(this.#size);
    this.#salted.input.set(salts.subarray(saltAt, saltAt + SALT_BYTES));
    this.#salted.input.set(raws.subarray(at, at + length), SALT_BYTES);
  }

  /** @param high @param low halves of received_at, microseconds since the Unix epoch @param to gets the leaf at `toAt` */
  hash(ids: Uint8Array, idAt: number, idLength: number, high: number, low: number, to: Buffer, toAt: number): void {
    const entry = this.#entry.input;
    entry[this.#afterTenant] = idLength;
    const idFrom = this.#afterTenant + 1;
    entry.set(ids.subarray(idAt, idAt + idLength), idFrom);
    const at = idFrom + idLength;
    entry.writeUInt32BE(high, at);
    entry.writeUInt32BE(low, at + 4);
    this.#salted.digest(this.#size, entry, at + 8);
    this.#entry.digest(at + 8 + HASH_BYTES, to, toAt);
  }
}

/** Leaves' entries of events, one by one: slow, for few. @returns in the order of the rows; a missing one has no event */
export function* eventsOf(rows: LogRows): Generator<{ readonly tenant: string; readonly index: number; readonly event?: { readonly eventId: string; readonly receivedAtMicros: number; readonly raw: Uint8Array } }> {
  const ids = new Strings(rows.eventIds);
  const raws = new Strings(rows.raws);
  const times = new DataView(rows.receivedAt.buffer, rows.receivedAt.byteOffset, rows.receivedAt.byteLength);
  let row = 0;
  for (const { tenant, firstIndex, rows: count, missing } of rows.runs) {
    for (let i = 0; i < count; i++) {
      if (missing === true) {
        yield { tenant, index: firstIndex + i };
        continue;
      }
      ids.next();
      raws.next();
      const eventId = Buffer.from(rows.eventIds.subarray(ids.at, ids.at + ids.length)).toString();
      yield { tenant, index: firstIndex + i, event: { eventId, receivedAtMicros: Number(times.getBigUint64(8 * row++, true)), raw: rows.raws.subarray(raws.at, raws.at + raws.length) } };
    }
  }
}

/** The entry of an event that was gone before it was put into the log. */
export const MISSING_ENTRY: Uint8Array = MISSING;

/** Walks over strings with their lengths in front. */
class Strings {
  readonly #bytes: Uint8Array;
  at = 0;
  length = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  next(): void {
    let at = this.at + this.length;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[at++] as number;
      length += (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    this.at = at;
    this.length = length;
  }
}

function putByte(to: Buffer, at: number, value: number): number {
  to[at] = value;
  return at + 1;
}

function putText(to: Buffer, at: number, text: string): number {
  const length = Buffer.byteLength(text);
  if (length > TEXT_MAX) throw new RangeError(`${JSON.stringify(text.slice(0, 40))}… is longer than the ${TEXT_MAX} bytes that an entry of a log holds`);
  to.write(text, putByte(to, at, length));
  return at + 1 + length;
}

function putMicros(to: Buffer, at: number, micros: number): number {
  to.writeUInt32BE(Math.floor(micros / WORD), at);
  to.writeUInt32BE(micros % WORD, at + 4);
  return at + 8;
}
