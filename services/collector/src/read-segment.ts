import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { ByteBuffer, EventBlockEncoder } from '@agent-audit/queries';
import { EventTape } from '@agent-audit/schemas';
import type { KnownIds } from './known-ids.ts';
import type { QuarantinedEvent, Segment, SegmentRows } from './segment.ts';
import { uuidOf, type SegmentContent, type SegmentRecord } from './segments/format.ts';
import type { Journal } from './segments/journal.ts';

/** What was accepted once is not measured again: limits may have been lowered since. */
const NO_LIMITS = { eventBytes: Number.MAX_SAFE_INTEGER, nesting: 1_000_000 };
/** How long reading may keep requests waiting. */
const TURN_MS = 4;
/** How often the time is looked at. */
const EVENTS_PER_LOOK = 256;

/**
 * Reads a segment's events again, to encode them; ids that are untested are tested.
 *
 * @param allDoubtful some of it may be stored, whatever the test has found
 * @param memory for the file; nothing of it is needed afterwards
 * @throws Error when the file cannot be read
 */
export async function readRows(journal: Journal, segment: Segment, encoder: EventBlockEncoder, collectorId: string, known: KnownIds, allDoubtful: boolean, memory: ByteBuffer): Promise<SegmentRows> {
  const doubtfulPlaces = segment.doubtfulPlaces && new Set(segment.doubtfulPlaces);
  const rows: SegmentRows = { encoder, counts: new Map(), doubtful: [], refused: [] };
  const origin = { segmentId: segment.file.id, collectorId };
  const { bytes, content } = await journal.read(segment.file, memory);
  await inTurns(eachEvent(bytes, content, (refused) => rows.refused.push({ ...refused, raw: Buffer.from(refused.raw) })), ({ tape, place, record: { tenant, receivedAtMicros } }) => {
    const doubtful = doubtfulPlaces === undefined ? !known.add(tenant, tape, 0) : doubtfulPlaces.has(place);
    if (doubtful || allDoubtful) {
      rows.doubtful.push({ tenant, receivedAtMicros, raw: Buffer.from(tape.raw(0)), receipt: undefined });
    } else {
      const logIndex = rows.counts.get(tenant) ?? 0;
      encoder.append(tape, 0, { tenant, logIndex, flags: 0, receivedAtMicros }, origin);
      rows.counts.set(tenant, logIndex + 1);
    }
  });
  return rows;
}

/** Finds the events of a segment whose ids may be known, and remembers all of them. */
export async function findDoubtful(journal: Journal, segment: Segment, known: KnownIds): Promise<number[]> {
  const places: number[] = [];
  const { bytes, content } = await journal.read(segment.file);
  await inTurns(eachEvent(bytes, content), ({ tape, place, record }) => {
    if (!known.add(record.tenant, tape, 0)) places.push(place);
  });
  return places;
}

/** Lets others have the thread every few milliseconds. */
async function inTurns<T>(values: Iterable<T>, visit: (value: T) => void): Promise<void> {
  let begin = performance.now();
  let left = EVENTS_PER_LOOK;
  for (const value of values) {
    visit(value);
    if (--left > 0) continue;
    left = EVENTS_PER_LOOK;
    if (performance.now() - begin < TURN_MS) continue;
    await yieldToOthers();
    begin = performance.now();
  }
}

interface ReadEvent {
  /** Holds this one event, until the next is asked for. */
  readonly tape: EventTape;
  /** Among all events of the segment, from 0. */
  readonly place: number;
  readonly record: SegmentRecord;
}

function* eachEvent(bytes: Buffer, content: SegmentContent, onRefused?: (event: QuarantinedEvent) => void): Generator<ReadEvent> {
  const tape = new EventTape();
  let place = 0;
  for (const record of content.records) {
    const { tenant, receivedAtMicros, events, refused } = record;
    for (const event of refused) onRefused?.({ ...event, tenant, receivedAtMicros });
    for (let i = 0; i < events.length; i += 2, place++) {
      tape.clear();
      const [start, end] = [events[i] as number, events[i + 1] as number];
      const wrong = tape.take(bytes, start, end, NO_LIMITS);
      if (wrong === undefined) yield { tape, place, record };
      // A later version of the service is stricter than the one that accepted it; it is not lost.
      else onRefused?.({ tenant, receivedAtMicros, quarantineId: uuidOf(`${content.id}/${place}`), origin: `segment:${content.id}`, eventId: undefined, errors: wrong.errors, raw: bytes.subarray(start, end) });
    }
  }
}
