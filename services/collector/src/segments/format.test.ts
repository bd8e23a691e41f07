import { randomUUIDv7 } from 'node:crypto';
import { crc32 } from 'node:zlib';
import * as fc from 'fast-check';
import { ByteBuffer } from '@agent-audit/queries';
import { EventTape } from '@agent-audit/schemas';
import { describe, expect, it } from 'vitest';
import { toolCall } from '../../../../test/support/events.ts';
import { checksumSeed, HEADER_BYTES, isTornHeader, readSegment, segmentHeader, withQuarantineIds, writeRecord, type QuarantinedRecord, type Refused, type SegmentContent } from './format.ts';

/** What goes into one record. */
interface Written {
  readonly tenant: string;
  readonly receivedAtMicros: number;
  readonly events: readonly string[];
  readonly refused: readonly QuarantinedRecord[];
}

const ID = '01890a5d-ac96-774b-bcce-b302099a8057';

function tapeOf(events: readonly string[]): EventTape {
  const tape = new EventTape();
  for (const event of events) expect(tape.take(Buffer.from(event))).toBeUndefined();
  return tape;
}

interface Segment {
  readonly file: Buffer;
  /** Where each record ends, the header first. */
  readonly ends: readonly number[];
}

function segmentOf(records: readonly Written[], id = ID): Segment {
  const buffer = new ByteBuffer(0);
  buffer.append(segmentHeader(id));
  const ends = [buffer.length];
  for (const { tenant, receivedAtMicros, events, refused } of records) {
    writeRecord(buffer, checksumSeed(id), tenant, receivedAtMicros, tapeOf(events), refused);
    ends.push(buffer.length);
  }
  return { file: Buffer.from(buffer.view()), ends };
}

/** What was read, in the shape of what was written. */
function readBack(file: Buffer, content: SegmentContent | undefined): Written[] {
  return (content?.records ?? []).map(({ tenant, receivedAtMicros, events, refused }) => ({
    tenant,
    receivedAtMicros,
    events: Array.from({ length: events.length / 2 }, (_, i) => file.subarray(events[2 * i], events[2 * i + 1]).toString('utf8')),
    refused: refused.map((event) => ({ ...event, raw: Buffer.from(event.raw) })),
  }));
}

function refusedOf(raw: Uint8Array, eventId?: string): QuarantinedRecord {
  const event: Refused = { origin: 'http:key-1', eventId, errors: [{ path: '/time', code: 'required', message: 'is missing' }], raw: Buffer.from(raw) };
  return withQuarantineIds([event])[0] as QuarantinedRecord;
}

const letters = fc.string({ unit: 'binary', maxLength: 20 });
const event = letters.map((text) => JSON.stringify(toolCall({ agent: { id: 'агент' }, attributes: { text } })));
const uuid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => {
  const digits = Buffer.from(bytes).toString('hex');
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join('-');
});
const refused: fc.Arbitrary<QuarantinedRecord> = fc.record({
  quarantineId: uuid,
  origin: letters,
  // No id and an empty one are the same.
  eventId: fc.option(letters.filter((id) => id !== ''), { nil: undefined }),
  errors: fc.array(fc.record({ path: letters, code: fc.constantFrom('required', 'not_allowed'), message: letters }), { maxLength: 2 }),
  raw: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
});
const record: fc.Arbitrary<Written> = fc.record({
  tenant: fc.stringMatching(/^[A-Za-z0-9._-]{1,128}$/),
  receivedAtMicros: fc.oneof(fc.nat({ max: Number.MAX_SAFE_INTEGER }), fc.constantFrom(0, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER)),
  events: fc.array(event, { maxLength: 4 }),
  refused: fc.array(refused, { maxLength: 3 }),
});

/** Small, and with everything in it that a record may have; letters beyond ASCII among it. */
const SMALL: readonly Written[] = [
  { tenant: 'a', receivedAtMicros: 1_772_366_400_000_001, events: ['é', 'b'].map((id) => JSON.stringify(toolCall({ agent: { id } }))), refused: [] },
  { tenant: 'other', receivedAtMicros: 1_772_366_400_000_002, events: [], refused: [refusedOf(Buffer.from([0, 0xff, 0x80, 0x7b])), refusedOf(Buffer.alloc(0), 'evt-ä')] },
  { tenant: 'a', receivedAtMicros: 1_772_366_400_000_003, events: [JSON.stringify(toolCall())], refused: [refusedOf(Buffer.from('{"a":'), 'x')] },
];

describe('a segment', () => {
  it('gives back what was written', () => {
    fc.assert(
      fc.property(uuid, fc.array(record, { maxLength: 5 }), (id, records) => {
        const { file } = segmentOf(records, id);
        const content = readSegment(file);
        expect(content).toMatchObject({ id, end: file.length, state: 'whole' });
        expect(readBack(file, content)).toEqual(records);
      }),
      { numRuns: 200 },
    );
  });

  it('gives back events and refused bytes of megabytes', () => {
    const big: Written = {
      tenant: 'a', receivedAtMicros: 1, events: [JSON.stringify(toolCall({ attributes: { text: 'ж'.repeat(120_000) } }))], refused: [refusedOf(Buffer.alloc(16 * 1024 * 1024, 'AREC'))],
    };
    const { file } = segmentOf([big, ...SMALL]);
    const content = readSegment(file);
    expect(content?.state).toBe('whole');
    const back = readBack(file, content);
    expect(back[0]?.events).toEqual(big.events);
    expect(back[0]?.refused[0]?.raw.length).toBe(16 * 1024 * 1024);
    expect(back.slice(1)).toEqual(SMALL);
  });

  it('with nothing in it is whole and empty', () => {
    expect(readSegment(segmentHeader(ID))).toEqual({ id: ID, records: [], end: HEADER_BYTES, state: 'whole' });
  });

  it('of another version, of something else, or shorter than a header, is none', () => {
    const { file } = segmentOf(SMALL);
    for (let length = 0; length < HEADER_BYTES; length++) expect(readSegment(file.subarray(0, length))).toBeUndefined();
    for (let at = 0; at < 8; at++) {
      const other = Buffer.from(file);
      other[at] = (other[at] as number) ^ 2;
      expect(readSegment(other)).toBeUndefined();
    }
    expect(readSegment(Buffer.alloc(4096))).toBeUndefined();
    expect(readSegment(Buffer.from('a text that somebody has put there'))).toBeUndefined();
  });
});

describe('a torn header', () => {
  const header = segmentHeader(ID);

  it('is any part of the header, with zeros behind it or nothing', () => {
    for (let at = 0; at <= HEADER_BYTES; at++) {
      expect(isTornHeader(header.subarray(0, at), ID)).toBe(true);
      expect(isTornHeader(Buffer.concat([header.subarray(0, at), Buffer.alloc(4096)]), ID)).toBe(true);
    }
  });

  it('is none where anything else is behind it, or it is another\'s', () => {
    const { file } = segmentOf(SMALL);
    expect(isTornHeader(file, ID)).toBe(false);
    for (let at = 0; at < HEADER_BYTES; at++) {
      const flipped = Buffer.from(file);
      flipped[at] = (flipped[at] as number) ^ 1;
      expect(isTornHeader(flipped, ID)).toBe(false);
      expect(isTornHeader(Buffer.concat([header.subarray(0, at), Buffer.alloc(4096), Buffer.from('x')]), ID)).toBe(false);
    }
    expect(isTornHeader(segmentHeader(randomUUIDv7()), ID)).toBe(false);
  });
});

describe('a torn segment', () => {
  const { file, ends } = segmentOf(SMALL);
  /** Records whose every byte is there; one may end with zeros, and then those behind a cut make it whole. */
  const wholeIn = (cut: Buffer): number => ends.filter((end) => cut.subarray(0, end).equals(file.subarray(0, end))).length - 1;

  it.each([
    ['nothing follows', (cut: Buffer) => cut],
    ['zeros follow, as file systems leave them where a length was written before the bytes', (cut: Buffer) => Buffer.concat([cut, Buffer.alloc(4096)])],
  ])('cut at any byte gives exactly the whole records before the cut, where %s', (_, tail) => {
    for (let at = HEADER_BYTES; at <= file.length; at++) {
      const cut = tail(file.subarray(0, at));
      const content = readSegment(cut);
      const whole = wholeIn(cut);
      expect(readBack(cut, content), `cut at ${at}`).toEqual(SMALL.slice(0, whole));
      expect(content, `cut at ${at}`).toMatchObject({ id: ID, end: ends[whole], state: ends[whole] === cut.length ? 'whole' : 'torn' });
    }
  });

  it('with anything behind its last record gives all of its records', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.uint8Array({ maxLength: 30 }), fc.constant(Buffer.from('AREC'))), { minLength: 1, maxLength: 5 }), (garbage) => {
        const more = Buffer.concat([file, ...garbage]);
        const content = readSegment(more);
        expect(readBack(more, content)).toEqual(SMALL);
        expect(content).toMatchObject({ end: file.length, state: more.length === file.length ? 'whole' : 'torn' });
      }),
      { numRuns: 200 },
    );
  });

  it('that goes on with a record of another segment does not take it', () => {
    const other = segmentOf(SMALL, randomUUIDv7());
    const more = Buffer.concat([file, other.file.subarray(HEADER_BYTES)]);
    expect(readSegment(more)).toMatchObject({ end: file.length, state: 'torn' });
    expect(readBack(more, readSegment(more))).toEqual(SMALL);
  });
});

describe('a damaged segment', () => {
  const { file, ends } = segmentOf(SMALL);

  it.each([0x01, 0x80, 0xff])('with a byte changed anywhere gives every other record, and nothing altered (bits %i)', (bits) => {
    for (let at = HEADER_BYTES; at < file.length; at++) {
      const flipped = Buffer.from(file);
      flipped[at] = (flipped[at] as number) ^ bits;
      const hit = ends.findIndex((end) => at < end) - 1;
      const content = readSegment(flipped);
      expect(readBack(flipped, content), `changed at ${at}`).toEqual(SMALL.filter((_, i) => i !== hit));
      expect(content?.state, `changed at ${at}`).toBe(hit === SMALL.length - 1 ? 'torn' : 'damaged');
    }
  });

  it('whose id is changed gives nothing at all', () => {
    for (let at = 8; at < HEADER_BYTES; at++) {
      const flipped = Buffer.from(file);
      flipped[at] = (flipped[at] as number) ^ 0x40;
      expect(readSegment(flipped)).toMatchObject({ records: [], end: HEADER_BYTES, state: 'torn' });
    }
  });

  it('with a stretch of zeros anywhere gives the records that it does not touch', () => {
    fc.assert(
      fc.property(fc.integer({ min: HEADER_BYTES, max: file.length - 1 }), fc.integer({ min: 1, max: 200 }), (from, length) => {
        const holed = Buffer.from(file).fill(0, from, Math.min(file.length, from + length));
        const untouched = SMALL.filter((_, i) => file.subarray(ends[i], ends[i + 1]).equals(holed.subarray(ends[i], ends[i + 1])));
        expect(readBack(holed, readSegment(holed))).toEqual(untouched);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a record that a sender has made up', () => {
  /** Right in all but the segment's id. */
  function forged(seed: number): Buffer {
    const buffer = new ByteBuffer(0);
    writeRecord(buffer, seed, 'victim', 1, tapeOf([JSON.stringify(toolCall({ event_id: 'never-sent' }))]), []);
    return Buffer.from(buffer.view());
  }
  const seeds = [0, crc32(Buffer.alloc(16)), checksumSeed(randomUUIDv7())];
  const hostile: Written = { tenant: 'attacker', receivedAtMicros: 5, events: [], refused: seeds.map((seed) => refusedOf(forged(seed))) };
  const { file, ends } = segmentOf([SMALL[0] as Written, hostile, SMALL[2] as Written]);
  const [from, to] = [ends[1] as number, ends[2] as number];

  it('is bytes of a refused event and no record', () => {
    expect(readBack(file, readSegment(file))).toEqual([SMALL[0], hostile, SMALL[2]]);
  });

  it('is none behind a torn tail, wherever the tear', () => {
    for (let at = from; at < to; at++) {
      const torn = file.subarray(0, at);
      expect(readBack(torn, readSegment(torn))).toEqual([SMALL[0]]);
    }
  });

  it('is none where the record around it is damaged, and what follows is found', () => {
    for (let at = from; at < to; at++) {
      const flipped = Buffer.from(file);
      flipped[at] = (flipped[at] as number) ^ 0x10;
      const content = readSegment(flipped);
      expect(readBack(flipped, content)).toEqual([SMALL[0], SMALL[2]]);
      expect(content?.state).toBe('damaged');
    }
  });

  it('is looked at quickly, however many there are behind a torn record', () => {
    // Had each its payload summed up, this would take an hour.
    const heads = Buffer.alloc(16 * 1024 * 1024);
    for (let at = 0; at + 16 <= heads.length; at += 16) {
      heads.write('AREC', at, 'latin1');
      heads.writeUInt32LE(heads.length - at - 16, at + 4);
    }
    const torn = segmentOf([SMALL[0] as Written, { ...hostile, refused: [refusedOf(heads)] }]).file.subarray(0, -1);
    expect(readBack(torn, readSegment(torn))).toEqual([SMALL[0]]);
  });

  it('is none where bytes of an event are a whole record', () => {
    // What is on the tape is never looked at here, so it may be anything.
    const buffer = new ByteBuffer(0);
    buffer.append(segmentHeader(ID));
    const raws = seeds.map(forged);
    const anything = { count: raws.length, raw: (i: number) => raws[i] } as unknown as EventTape;
    writeRecord(buffer, checksumSeed(ID), 'attacker', 5, anything, []);
    const whole = Buffer.from(buffer.view());
    for (let at = HEADER_BYTES; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ 0x10;
      expect(readSegment(flipped)?.records).toEqual([]);
    }
    expect(readSegment(whole)?.records).toHaveLength(1);
  });
});
