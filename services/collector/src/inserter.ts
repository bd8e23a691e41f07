import { hash } from 'node:crypto';
import { ByteBuffer, countSegment, encodeQuarantine, EventBlockEncoder, findRecorded, FLAG_BITS, logSizes, quarantinedIds, StoreError, type Store } from '@agent-audit/queries';
import { EventTape } from '@agent-audit/schemas';
import type { Clock, Log, Telemetry } from '@agent-audit/shared';
import type { EventLogs } from '@agent-audit/tlog';
import { eventIdOf, type KnownIds } from './known-ids.ts';
import { readRows } from './read-segment.ts';
import type { Doubtful, QuarantinedEvent, Segment, SegmentRows } from './segment.ts';
import { isReadAgain } from './segments/format.ts';
import type { Journal } from './segments/journal.ts';

export interface InserterOptions {
  readonly store: Store;
  readonly journal: Journal;
  readonly collectorId: string;
  /** The next log position of each tenant. */
  readonly logSizes: Map<string, number>;
  /** Where what is stored becomes provable; undefined: nowhere. */
  readonly logs: EventLogs | undefined;
  readonly log: Log;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly known: KnownIds;
  /** Whether the ids of an untested segment may be tested now. */
  readonly mayTest: () => boolean;
  /** Called after rows of segments are in the store; never rejects. */
  readonly onStored: (segments: readonly Segment[]) => Promise<void>;
  /** For segments that are read again: one is read while the one before is inserted. */
  readonly takeEncoder: () => EventBlockEncoder;
  readonly giveEncoder: (encoder: EventBlockEncoder) => void;
  /** Called after each segment, whatever became of it. */
  readonly onDone: (segment: Segment) => void;
}

/** Ids per lookup; they travel in one parameter, of which ClickHouse takes 128 KiB. */
const LOOKUP_IDS = 500;
const BACKOFF_MS_MAX = 1_000;

/** The service stops: what is not stored stays on disk for the next start. */
class Stopped extends Error {}

/**
 * Takes sealed segments to ClickHouse, one at a time and in their order, each for as long as it takes.
 *
 * A segment is at most three inserts, each of them one block: what was refused, into the quarantine; the events that are
 * certainly new, under the segment's id as deduplication token; and those that were doubtful and turn out to be new,
 * which are looked up only now, when everything before them is in the store. Only then is its file removed.
 */
export class Inserter {
  readonly #options: InserterOptions;
  readonly #queue: Segment[] = [];
  #running: Promise<void> | undefined;
  #failing = false;
  #stuck = 0;
  #stopping = false;
  /** Stored, and still on disk. */
  readonly #untidy: { readonly segment: Segment; readonly rows: number }[] = [];
  #tidying: Promise<void> | undefined;
  #ahead: { readonly segment: Segment; readonly loaded: Promise<number> } | undefined;
  #reading = false;
  /** For segments that are read again, one at a time. */
  #file = new ByteBuffer(0);
  readonly #survivors = new EventBlockEncoder();

  constructor(options: InserterOptions) {
    this.#options = options;
  }

  /** Sealed segments that are not stored yet, in order. */
  get queue(): readonly Segment[] {
    return this.#queue;
  }

  /** ClickHouse did not take the last insert. */
  get failing(): boolean {
    return this.#failing;
  }

  /** Segments that were put aside. */
  get stuck(): number {
    return this.#stuck;
  }

  /** The ids of a segment are being tested. */
  get reading(): boolean {
    return this.#reading;
  }

  push(segment: Segment): void {
    this.#queue.push(segment);
    this.wake();
  }

  /** To be called when the segment whose turn it is has become ready. */
  wake(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Goes on until nothing is left to store or `graceMs` are over; what is left then is on disk. */
  async stop(graceMs: number): Promise<void> {
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const grace = setTimeout(resolve, this.#failing ? 0 : graceMs);
    await Promise.race([this.#running, over]);
    this.#stopping = true;
    await Promise.race([this.#tidying, over]);
    clearTimeout(grace);
  }

  async #run(): Promise<void> {
    for (;;) {
      const segment = this.#queue[0];
      if (segment === undefined || this.#stopping) return;
      if (segment.rows === undefined && segment.doubtfulPlaces === undefined && !this.#options.mayTest()) return;
      try {
        await this.#storeSegment(segment);
        segment.markStored();
      } catch (error) {
        if (error instanceof Stopped) return;
        this.#survivors.discard();
        this.#stuck++;
        this.#options.telemetry.segmentStuck();
        this.#options.log.error({ err: error, segment_id: segment.file.id, events: segment.events }, 'a segment cannot be stored; it stays on disk and is tried again at the next start');
      }
      this.#queue.shift();
      // The backlog is gone, and with it the need for tens of megabytes.
      if (this.#queue.length === 0 && this.#file.bytes.length > 0) this.#file = new ByteBuffer(0);
      this.#options.onDone(segment);
    }
  }

  async #storeSegment(segment: Segment): Promise<void> {
    const { clock, telemetry } = this.#options;
    const begin = clock.monotonicMs();
    let stored = await this.#load(segment);
    this.#readAhead();
    const rows = segment.rows as SegmentRows;
    await this.#quarantine(segment, rows.refused);
    stored = await this.#insert(segment, rows.encoder, rows.counts, segment.file.id, stored);
    rows.logged = this.#toLogs(rows.encoder);
    const survivors = await this.#settleDoubtful(segment, rows);
    stored = await this.#insert(segment, this.#survivors, survivors, `${segment.file.id}/doubtful`, stored);
    await this.#toLogs(this.#survivors);
    this.#survivors.discard();
    await this.#askPositions(segment);
    telemetry.stored((clock.monotonicMs() - begin) / 1000, stored);
    this.#untidy.push({ segment, rows: stored });
    this.#tidying ??= this.#tidy();
  }

  /** @returns when the rows are not read any more */
  async #toLogs(encoder: EventBlockEncoder): Promise<void> {
    if (encoder.rows > 0) await this.#options.logs?.append(encoder.logRows());
  }

  /** Beside the next insert, as many as there are at once. A file that stays is known by its ids at the next start. */
  async #tidy(): Promise<void> {
    const { journal, log, onStored } = this.#options;
    for (let some = this.#untidy.splice(0); some.length > 0; some = this.#untidy.splice(0)) {
      const segments = some.filter(({ rows }) => rows > 0).map(({ segment }) => segment);
      if (segments.length > 0) await onStored(segments);
      for (const { segment } of some) {
        try {
          await journal.remove(segment.file);
        } catch (error) {
          log.warn({ err: error, segment_id: segment.file.id }, 'a segment that is stored could not be removed; it is looked through at the next start');
        }
      }
    }
    this.#tidying = undefined;
  }

  /**
   * Reads a segment that is on disk only.
   *
   * @returns rows of it that are stored already: an earlier run may have stored it, also by an insert that was still under way
   *   when the recorded ids were learned. So where there is anything, each event is looked up
   */
  #load(segment: Segment): Promise<number> {
    if (this.#ahead?.segment === segment) {
      const { loaded } = this.#ahead;
      this.#ahead = undefined;
      return loaded;
    }
    return this.#loadNow(segment);
  }

  async #loadNow(segment: Segment): Promise<number> {
    const { journal, collectorId, known, takeEncoder, giveEncoder } = this.#options;
    // Before anything is waited for: nobody else may test ids from here on.
    this.#reading = segment.rows === undefined;
    try {
      await segment.sealed;
      if (segment.unreadable !== undefined) throw segment.unreadable;
      const stored = segment.left ? await this.#retrying(segment, () => this.#count(segment)) : 0;
      if (segment.rows === undefined) {
        const encoder = takeEncoder();
        try {
          segment.rows = await readRows(journal, segment, encoder, collectorId, known, stored > 0, this.#file);
        } catch (error) {
          giveEncoder(encoder);
          throw error;
        }
      }
      return stored;
    } finally {
      this.#reading = false;
    }
  }

  #readAhead(): void {
    const next = this.#queue[1];
    if (next === undefined || next.rows !== undefined || (next.doubtfulPlaces === undefined && !this.#options.mayTest())) return;
    const loaded = this.#loadNow(next);
    // Whoever takes it when its turn has come hears of it.
    loaded.catch(() => {});
    this.#ahead = { segment: next, loaded };
  }

  /**
   * Inserts a block, however often that takes. After a failure nobody knows whether it was stored, and ClickHouse
   * remembers a token before it writes the part: one that died in between takes the repeated insert for a duplicate of
   * rows that are not there. So it is the count of the segment's rows that decides, always.
   *
   * @param before rows of the segment that are stored already
   * @returns rows of the segment that are stored afterwards
   */
  async #insert(segment: Segment, encoder: EventBlockEncoder, counts: ReadonlyMap<string, number>, token: string, before: number): Promise<number> {
    const { store, collectorId, log, clock, logSizes: sizes } = this.#options;
    if (encoder.rows === 0) return before;
    await this.#askPositions(segment);
    const expected = before + encoder.rows;
    const block = encoder.finish(sizes);
    await this.#retrying(segment, async (attempt) => {
      if (attempt > 0 && (await this.#count(segment)) >= expected) return;
      for (let lie = 0; ; lie++) {
        await store.insertNative('events', encoder.columnNames, block, lie === 0 ? token : `${token}/${attempt}.${lie}`, insertComment(collectorId));
        if ((await this.#count(segment)) >= expected) return;
        // A replica may only be behind.
        await clock.sleep(backoffMs(lie));
        if ((await this.#count(segment)) >= expected) return;
        if (this.#stopping) throw new Stopped();
        log.warn({ segment_id: segment.file.id, attempt }, 'an insert was taken for a duplicate of one that was never stored; it goes on under another token');
      }
    });
    for (const [tenant, count] of counts) sizes.set(tenant, (sizes.get(tenant) ?? 0) + count);
    return expected;
  }

  /** The last insert of a process that died may take effect after the next one has asked how far the record got. */
  async #askPositions(segment: Segment): Promise<void> {
    if (!segment.left) return;
    const { store, collectorId, logs, logSizes: sizes } = this.#options;
    const recorded = await this.#retrying(segment, () => logSizes(store, collectorId));
    logs?.follow(recorded);
    for (const [tenant, size] of recorded) sizes.set(tenant, Math.max(size, logs?.size(tenant) ?? 0));
  }

  /** Rows of the segment in the store. */
  #count(segment: Segment): Promise<number> {
    return countSegment(this.#options.store, segment.file.id, segment.firstReceivedAtMicros, segment.lastReceivedAtMicros);
  }

  /**
   * Tells the doubtful events that are new from repeats, by what is recorded under their ids.
   *
   * @returns how many of each tenant are new; they are in `#survivors`
   */
  async #settleDoubtful(segment: Segment, { doubtful }: SegmentRows): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    if (doubtful.length === 0) return counts;
    const origin = { segmentId: segment.file.id, collectorId: this.#options.collectorId };
    const tape = new EventTape();
    for (const [tenant, events] of Map.groupBy(doubtful, (event) => event.tenant)) {
      tape.clear();
      for (const { raw } of events) {
        // Accepted before, and so it is again.
        if (tape.take(raw, 0, raw.length, { eventBytes: raw.length, nesting: 1_000_000 }) !== undefined) throw new Error('an accepted event cannot be read again');
      }
      const recorded = await this.#retrying(segment, () => this.#recordedOf(tenant, tape));
      events.forEach((event, place) => {
        const verdict = judge(event, eventIdOf(tape, place), recorded);
        if (verdict === 'repeat') return;
        const logIndex = counts.get(tenant) ?? 0;
        this.#survivors.append(tape, place, { tenant, logIndex, flags: verdict === 'conflict' ? FLAG_BITS.conflict : 0, receivedAtMicros: event.receivedAtMicros }, origin);
        counts.set(tenant, logIndex + 1);
      });
    }
    return counts;
  }

  /** SHA-256 of all that is recorded under the ids on a tape. */
  async #recordedOf(tenant: string, tape: EventTape): Promise<Map<string, Set<string>>> {
    const ids = [...new Set(Array.from({ length: tape.count }, (_, place) => eventIdOf(tape, place)))];
    const recorded = new Map<string, Set<string>>();
    for (let i = 0; i < ids.length; i += LOOKUP_IDS) {
      for (const [id, digests] of await findRecorded(this.#options.store, tenant, ids.slice(i, i + LOOKUP_IDS))) recorded.set(id, digests);
    }
    return recorded;
  }

  /** As with events, what is there decides, not what ClickHouse says of a token. */
  async #quarantine(segment: Segment, refused: readonly QuarantinedEvent[]): Promise<void> {
    if (refused.length === 0) return;
    const { store, collectorId, clock } = this.#options;
    const events = new Map(refused.map((event) => [event.quarantineId, event]));
    const mayBeThere = segment.left || refused.some(({ origin }) => isReadAgain(origin));
    await this.#retrying(segment, async (attempt) => {
      for (let lie = 0; ; lie++) {
        if (lie > 1) await clock.sleep(backoffMs(lie));
        if (attempt > 0 || lie > 0 || mayBeThere) for (const id of await quarantinedIds(store, [...events.keys()])) events.delete(id);
        if (events.size === 0) return;
        const { columnNames, block } = encodeQuarantine(
          [...events.values()].map(({ tenant, quarantineId, receivedAtMicros, origin, eventId, errors, raw }) => ({
            tenant, quarantineId, receivedAtMicros: BigInt(receivedAtMicros), collectorId, origin, eventId: eventId ?? '', errors, raw,
          })),
        );
        await store.insertNative('quarantine', columnNames, block, lie === 0 ? segment.file.id : `${segment.file.id}/${attempt}.${lie}`);
      }
    });
  }

  /** Repeats what failed for a reason that may pass. @throws Stopped, or whatever will not pass */
  async #retrying<T>(segment: Segment, run: (attempt: number) => Promise<T>): Promise<T> {
    const { log, clock, telemetry } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        const result = await run(attempt);
        this.#failing = false;
        return result;
      } catch (error) {
        if (!(error instanceof StoreError) || !error.retryable) throw error;
        this.#failing = true;
        telemetry.insertFailed();
        // Once, and then now and again: it may be away for hours.
        if (attempt < 3 || attempt % 60 === 0) log.warn({ err: error, segment_id: segment.file.id, attempt }, 'ClickHouse does not take a segment; it will be tried again');
      }
      if (this.#stopping) throw new Stopped();
      await clock.sleep(backoffMs(attempt));
      if (this.#stopping) throw new Stopped();
    }
  }
}

/** By which the inserts of a collector can be found while they run. */
export function insertComment(collectorId: string): string {
  return `agent-audit/${collectorId}`;
}

function backoffMs(attempt: number): number {
  return Math.min(BACKOFF_MS_MAX, 50 * 2 ** attempt);
}

/** @param recorded digests by id, to which those of new events are added */
function judge({ raw, receipt }: Doubtful, id: string, recorded: Map<string, Set<string>>): 'new' | 'conflict' | 'repeat' {
  const digest = hash('sha256', raw, 'hex');
  const known = recorded.get(id);
  if (known?.has(digest) === true) {
    if (receipt !== undefined) receipt.duplicates++;
    return 'repeat';
  }
  recorded.set(id, new Set([...(known ?? []), digest]));
  return known === undefined ? 'new' : 'conflict';
}
