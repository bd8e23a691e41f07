import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { eventEntry, eventLeaf, leavesOf, MISSING_LEAF, saltedDigest, type LogRows } from './event-leaves.ts';
import { Salts } from './salts.ts';

const sha256 = (...parts: Uint8Array[]): string => createHash('sha256').update(Buffer.concat(parts)).digest('hex');
const secret = Buffer.alloc(32, 7);

/** The test vector of docs/proof.md. */
it('an event\'s entry is what the documentation says, to the byte', () => {
  const raw = Buffer.from('{"event_id":"e-1"}');
  const salt = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
  const digest = saltedDigest(salt, raw);
  expect(digest.toString('hex')).toBe(sha256(salt, raw));
  const event = { tenant: 'acme', eventId: 'e-1', receivedAtMicros: 1_772_366_400_000_007, digest };
  const entry = Buffer.concat([Buffer.from('0104', 'hex'), Buffer.from('acme'), Buffer.of(3), Buffer.from('e-1'), Buffer.from('00064bf535af1007', 'hex'), digest]);
  expect(eventEntry(event).toString('hex')).toBe(entry.toString('hex'));
  expect(Buffer.from(eventLeaf(event)).toString('hex')).toBe(sha256(Buffer.of(0), entry));
  expect(Buffer.from(eventLeaf(event)).toString('hex')).toBe('d05e19fa5d86c59117c4042be33961a7e54b28e642a4ca85d49daf09d95e3f3a');
  expect(Buffer.from(MISSING_LEAF).toString('hex')).toBe(sha256(Buffer.of(0, 2)));
});

it('every field is in the entry', () => {
  const event = { tenant: 'ab', eventId: 'c', receivedAtMicros: 1, digest: Buffer.alloc(32) };
  const entries = [event, { ...event, tenant: 'a', eventId: 'bc' }, { ...event, eventId: 'd' }, { ...event, receivedAtMicros: 2 ** 32 + 1 }, { ...event, digest: Buffer.alloc(32, 1) }].map((one) => eventEntry(one).toString('hex'));
  expect(new Set(entries).size).toBe(entries.length);
});

it('a name that the length does not hold is refused', () => {
  expect(() => eventEntry({ tenant: 'x'.repeat(256), eventId: 'e', receivedAtMicros: 0, digest: Buffer.alloc(32) })).toThrow(RangeError);
});

interface Row {
  readonly eventId: string;
  readonly raw: Uint8Array;
  readonly receivedAtMicros: number;
}

const row = fc.record({
  eventId: fc.stringMatching(/^[A-Za-z0-9._:-]{1,128}$/),
  raw: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([bytes, Buffer.alloc(bytes.length > 250 ? 70_000 : 0)])),
  receivedAtMicros: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
});
const run = fc.record({ tenant: fc.stringMatching(/^[a-z]{1,9}$/), firstIndex: fc.integer({ min: 0, max: 2 ** 40 }), rows: fc.array(row, { minLength: 1, maxLength: 5 }), missing: fc.boolean() });

function lengthAndBytes(bytes: Uint8Array): Buffer {
  const length: number[] = [];
  let rest = bytes.length;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.of(...length, rest), bytes]);
}

function columnsOf(rows: readonly Row[]): Omit<LogRows, 'runs'> {
  return {
    eventIds: Buffer.concat(rows.map(({ eventId }) => lengthAndBytes(Buffer.from(eventId)))),
    raws: Buffer.concat(rows.map(({ raw }) => lengthAndBytes(raw))),
    receivedAt: Buffer.concat(rows.map(({ receivedAtMicros }) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(receivedAtMicros));
      return bytes;
    })),
  };
}

it('leaves of columns are those of their events, one by one', () => {
  fc.assert(fc.property(fc.array(run, { maxLength: 4 }), (runs) => {
    const salts = new Salts(secret, 'o');
    const columns = columnsOf(runs.flatMap(({ missing, rows }) => (missing ? [] : rows)));
    const found: string[] = [];
    leavesOf(
      { ...columns, runs: runs.map(({ tenant, firstIndex, rows, missing }) => ({ tenant, firstIndex, rows: rows.length, ...(missing ? { missing: true as const } : {}) })) },
      ({ firstIndex, rows }) => salts.from(firstIndex, rows),
      (_, leaves) => {
        for (let at = 0; at < leaves.length; at += 32) found.push(leaves.toString('hex', at, at + 32));
      },
    );
    expect(found).toEqual(runs.flatMap(({ tenant, firstIndex, rows, missing }) => rows.map(({ eventId, raw, receivedAtMicros }, i) => Buffer.from(
      missing ? MISSING_LEAF : eventLeaf({ tenant, eventId, receivedAtMicros, digest: saltedDigest(salts.from(firstIndex + i), raw) }),
    ).toString('hex'))));
  }), { numRuns: 200 });
});
