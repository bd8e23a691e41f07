import { findReplays, putReplays, readQuarantined, whileBytesFit, type QuarantinedRow, type Store } from '@agent-audit/queries';
import { EventTape, type FieldError, type ReadLimits } from '@agent-audit/schemas';
import type { Clock } from '@agent-audit/shared';
import type { EventSink } from './event-sink.ts';
import { takeKept } from './take-kept.ts';

export interface ReplayOptions {
  readonly store: Store;
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly limits: ReadLimits;
}

export interface Replayed {
  /** Events that are recorded now and were not before. */
  readonly replayed: number;
  /** Entries whose event was recorded before, by an earlier replay or because it was sent again. */
  readonly duplicates: number;
  readonly stillRejected: readonly { readonly quarantineId: string; readonly errors: readonly FieldError[] }[];
  /** Entries that were dropped from quarantine before they could be read. */
  readonly gone: readonly string[];
}

/** How long a replay waits to tell which events were recorded before. */
const STORED_MS = 10_000;
/** Bytes of entries that are held in memory at a time. */
export const REPLAY_BYTES = 16 * 1024 * 1024;

/**
 * Reads entries of quarantine again, with the schema and limits of today. Records those that are valid now, and only
 * then marks them: what dies in between is a duplicate the next time. Entries themselves are never touched.
 *
 * @param origin who replays, such as `http:<key id>`
 * @param corrected bytes to take instead of those that an entry holds, by its id
 * @throws NotRecorded
 */
export async function replay(
  options: ReplayOptions, tenant: string, origin: string, entries: readonly QuarantinedRow[], corrected: ReadonlyMap<string, Uint8Array> = new Map(),
): Promise<Replayed> {
  const sum = { replayed: 0, duplicates: 0, stillRejected: [] as Replayed['stillRejected'][number][], gone: [] as string[] };
  for (let left = entries; left.length > 0; ) {
    const part = whileBytesFit(left, REPLAY_BYTES);
    left = left.slice(part.length);
    const done = await replayPart(options, tenant, origin, part, corrected);
    sum.replayed += done.replayed;
    sum.duplicates += done.duplicates;
    sum.stillRejected.push(...done.stillRejected);
    sum.gone.push(...done.gone);
  }
  return sum;
}

async function replayPart(
  { store, sink, clock, limits }: ReplayOptions, tenant: string, origin: string, entries: readonly QuarantinedRow[], corrected: ReadonlyMap<string, Uint8Array>,
): Promise<Replayed> {
  const before = await findReplays(store, tenant, entries.map((entry) => entry.quarantine_id));
  const open = entries.filter((entry) => !before.has(entry.quarantine_id));
  const kept = await readQuarantined(store, tenant, open.filter((entry) => !corrected.has(entry.quarantine_id)));
  const tape = new EventTape();
  const taken: { entry: QuarantinedRow; eventId: string }[] = [];
  const stillRejected: Replayed['stillRejected'][number][] = [];
  const gone: string[] = [];
  for (const entry of open) {
    const raw = corrected.get(entry.quarantine_id) ?? kept.get(entry.quarantine_id);
    if (raw === undefined) {
      gone.push(entry.quarantine_id);
      continue;
    }
    const errors = takeKept(tape, typeof raw === 'string' ? Buffer.from(raw, 'base64') : raw, limits);
    if (errors === undefined) taken.push({ entry, eventId: eventIdOf(tape.raw(tape.count - 1)) });
    else stillRejected.push({ quarantineId: entry.quarantine_id, errors });
  }
  const recorded = taken.length === 0 ? { accepted: 0, duplicates: 0 } : await sink.record({ tenant, tape, refused: [], waitMs: STORED_MS });
  const replayedAtUs = clock.nowMicros();
  await putReplays(store, tenant, taken.map(({ entry, eventId }) => ({
    quarantineId: entry.quarantine_id, receivedAtUs: entry.received_at_us, replayedAtUs, origin, eventId, corrected: corrected.has(entry.quarantine_id),
  })));
  return { replayed: recorded.accepted, duplicates: recorded.duplicates + before.size, stillRejected, gone };
}

function eventIdOf(raw: Uint8Array): string {
  return (JSON.parse(Buffer.from(raw).toString('utf8')) as { event_id: string }).event_id;
}
