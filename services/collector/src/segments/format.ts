/**
 * The bytes of a segment file. All integers are little-endian.
 *
 *     header   8 bytes "AASEG\0\0\1" (the last one is the version) | 16 bytes segment id
 *     record   4 bytes "AREC" | u32 length of the payload | u32 check of the length | u32 check of the payload | payload
 *     check    CRC-32 of the segment id and what is checked (IEEE, as zlib)
 *     payload  u64 received at, microseconds since the Unix epoch | u8 length, tenant
 *              u32 events,  each: u32 length, bytes as received
 *              u32 refused, each: 16 bytes quarantine id | four texts: origin, event id, errors as JSON, bytes as received
 *     text     u32 length, bytes
 *
 * A record is what one request brought. It is there whole or not at all: its checksum tells. The segment's id, which
 * nobody outside can know, goes into it, so that what a sender puts into an event can never pass for a record. The length
 * has a check of its own: behind a torn record every "AREC" is looked at, and a sender who writes a million of them,
 * each before a length of megabytes, would otherwise keep the start busy for an hour.
 */
import { createHash, randomUUIDv7 } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ByteBuffer } from '@agent-audit/queries';
import type { EventTape, FieldError } from '@agent-audit/schemas';

const MAGIC = Buffer.from('AASEG\0\0\u0001', 'latin1');
const RECORD = Buffer.from('AREC', 'latin1');
export const HEADER_BYTES = MAGIC.length + 16;
const RECORD_HEAD_BYTES = 16;

/** An event that was refused, on its way to quarantine. */
export interface Refused {
  /** How it came in: `http:<key id>` or `kafka:<topic>/<partition>/<offset>`. */
  readonly origin: string;
  readonly eventId: string | undefined;
  readonly errors: readonly FieldError[];
  readonly raw: Uint8Array;
}

export interface QuarantinedRecord extends Refused {
  readonly quarantineId: string;
}

export interface SegmentRecord {
  readonly tenant: string;
  readonly receivedAtMicros: number;
  /** Where each event is in the file: from and to, alternating. */
  readonly events: readonly number[];
  readonly refused: readonly QuarantinedRecord[];
}

export interface SegmentContent {
  readonly id: string;
  readonly records: readonly SegmentRecord[];
  /** Where the last whole record ends. */
  readonly end: number;
  /** `torn`: what follows `end` was being written when the machine stopped. `damaged`: whole records follow something that is none. */
  readonly state: 'whole' | 'torn' | 'damaged';
}

/** @param id of the segment, a UUID */
export function segmentHeader(id: string): Buffer {
  return Buffer.concat([MAGIC, Buffer.from(id.replaceAll('-', ''), 'hex')]);
}

/** Gives refused events the ids under which they will be in quarantine, however often they are inserted. */
export function withQuarantineIds(refused: readonly Refused[]): QuarantinedRecord[] {
  return refused.map((event) => ({ ...event, quarantineId: isReadAgain(event.origin) ? uuidOf(event.origin, event.raw) : randomUUIDv7() }));
}

/** A message of Kafka is read again when its offset could not be committed any more: one message, one id. */
export function isReadAgain(origin: string): boolean {
  return origin.startsWith('kafka:');
}

/** The same UUID for the same name and bytes. RFC 9562 section 5.8: version 8 leaves the making of it to us. */
export function uuidOf(name: string, of: Uint8Array = Buffer.alloc(0)): string {
  const bytes = createHash('sha256').update(`${name}\n`).update(of).digest().subarray(0, 16);
  bytes[6] = 0x80 | ((bytes[6] as number) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f);
  return uuid(bytes);
}

/**
 * Whether a file is what a power cut may leave of a segment to which nothing was written yet: a part of the header,
 * or that and zeros. Nothing in it was ever acknowledged.
 */
export function isTornHeader(file: Buffer, id: string): boolean {
  if (file.length < HEADER_BYTES) return true;
  const header = segmentHeader(id);
  let same = 0;
  while (same < header.length && file[same] === header[same]) same++;
  return file.subarray(same).every((byte) => byte === 0);
}

/** What the checksums of a segment's records begin with. */
export function checksumSeed(id: string): number {
  return crc32(Buffer.from(id.replaceAll('-', ''), 'hex'));
}

/** Appends one record to `to`. @param seed see `checksumSeed` */
export function writeRecord(to: ByteBuffer, seed: number, tenant: string, receivedAtMicros: number, tape: EventTape, refused: readonly QuarantinedRecord[]): void {
  to.append(RECORD);
  const head = to.length;
  to.u32(0);
  to.u32(0);
  to.u32(0);
  const begin = to.length;
  to.u64(receivedAtMicros);
  const name = Buffer.from(tenant, 'utf8');
  to.u8(name.length);
  to.append(name);
  to.u32(tape.count);
  for (let event = 0; event < tape.count; event++) bytes(to, tape.raw(event));
  to.u32(refused.length);
  for (const { quarantineId, origin, eventId, errors, raw } of refused) {
    to.append(Buffer.from(quarantineId.replaceAll('-', ''), 'hex'));
    bytes(to, Buffer.from(origin, 'utf8'));
    bytes(to, Buffer.from(eventId ?? '', 'utf8'));
    bytes(to, Buffer.from(JSON.stringify(errors), 'utf8'));
    bytes(to, raw);
  }
  const payload = to.bytes.subarray(begin, to.length);
  to.bytes.writeUInt32LE(payload.length, head);
  to.bytes.writeUInt32LE(crc32(to.bytes.subarray(head, head + 4), seed), head + 4);
  to.bytes.writeUInt32LE(crc32(payload, seed), head + 8);
}

function bytes(to: ByteBuffer, value: Uint8Array): void {
  to.u32(value.length);
  to.append(value);
}

/**
 * Reads a segment file as far as it goes.
 *
 * @returns undefined when it does not begin with a header of this version
 */
export function readSegment(file: Buffer): SegmentContent | undefined {
  if (file.length < HEADER_BYTES || !file.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const id = uuid(file.subarray(MAGIC.length, HEADER_BYTES));
  const seed = checksumSeed(id);
  const records: SegmentRecord[] = [];
  let state: SegmentContent['state'] = 'whole';
  let end = HEADER_BYTES;
  for (let at = HEADER_BYTES; at < file.length; ) {
    const length = recordLength(file, at, seed);
    if (length === undefined) {
      // A power cut tears the last record only; whatever is whole behind a broken one was acknowledged, and is kept.
      const next = nextRecord(file, at + 1, seed);
      if (next === undefined) return { id, records, end, state: state === 'whole' ? 'torn' : state };
      state = 'damaged';
      at = next;
      continue;
    }
    records.push(readPayload(file, at + RECORD_HEAD_BYTES));
    at += RECORD_HEAD_BYTES + length;
    end = at;
  }
  return { id, records, end, state };
}

/** @returns the length of the payload of the whole record at `at`, or undefined where there is none */
function recordLength(file: Buffer, at: number, seed: number): number | undefined {
  if (at + RECORD_HEAD_BYTES > file.length || !file.subarray(at, at + RECORD.length).equals(RECORD)) return undefined;
  const length = file.readUInt32LE(at + 4);
  const from = at + RECORD_HEAD_BYTES;
  if (from + length > file.length || crc32(file.subarray(at + 4, at + 8), seed) !== file.readUInt32LE(at + 8)) return undefined;
  return crc32(file.subarray(from, from + length), seed) === file.readUInt32LE(at + 12) ? length : undefined;
}

function nextRecord(file: Buffer, from: number, seed: number): number | undefined {
  for (let at = file.indexOf(RECORD, from); at !== -1; at = file.indexOf(RECORD, at + 1)) {
    if (recordLength(file, at, seed) !== undefined) return at;
  }
  return undefined;
}

function readPayload(file: Buffer, from: number): SegmentRecord {
  let at = from;
  const u32 = (): number => {
    const value = file.readUInt32LE(at);
    at += 4;
    return value;
  };
  const slice = (length: number): Buffer => {
    at += length;
    return file.subarray(at - length, at);
  };
  const text = (): string => slice(u32()).toString('utf8');
  const receivedAtMicros = u32() + u32() * 0x1_0000_0000;
  const tenant = slice(file[at++] as number).toString('utf8');
  const events: number[] = [];
  for (let left = u32(); left > 0; left--) {
    const length = u32();
    events.push(at, at + length);
    at += length;
  }
  const refused: QuarantinedRecord[] = [];
  for (let left = u32(); left > 0; left--) {
    const quarantineId = uuid(slice(16));
    const origin = text();
    const eventId = text();
    refused.push({ quarantineId, origin, eventId: eventId === '' ? undefined : eventId, errors: JSON.parse(text()) as FieldError[], raw: slice(u32()) });
  }
  return { tenant, receivedAtMicros, events, refused };
}

function uuid(bytes: Buffer): string {
  const digits = bytes.toString('hex');
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join('-');
}
