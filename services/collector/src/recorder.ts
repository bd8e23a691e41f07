import { EventBlockEncoder, logSizes, runningInserts, type Store } from '@agent-audit/queries';
import type { EventTape } from '@agent-audit/schemas';
import type { EventLogs } from '@agent-audit/tlog';
import type { EventSink, Recording, RecordResult } from './event-sink.ts';
import { Inserter, insertComment } from './inserter.ts';
import { KnownIds } from './known-ids.ts';
import { NotRecorded } from './not-recorded.ts';
import { OtherCollectors } from './other-collectors.ts';
import { findDoubtful } from './read-segment.ts';
import { leftSegment, newSegment, type Receipt, type Segment } from './segment.ts';
import { withQuarantineIds, writeRecord, type QuarantinedRecord } from './segments/format.ts';
import { Journal, type JournalOptions } from './segments/journal.ts';

export interface RecorderOptions extends JournalOptions {
  readonly store: Store;
  readonly collectorId: string;
  /** Where what is stored becomes provable; absent: nowhere. */
  readonly logs?: EventLogs;
}

export interface RecorderState {
  /** Why nothing is taken in, if so. */
  readonly refusing: string | undefined;
  /** Sealed segments that are not in ClickHouse yet. */
  readonly waiting: number;
  /** Segments that ClickHouse refuses for what is in them; they wait for the next start. */
  readonly stuck: number;
}

const SEGMENT_ROWS = 64_000;
const SEGMENT_BYTES = 64 * 1024 * 1024;
/** Between two segments that are not full: more of them would only be merged again. */
const SEAL_MS = 250;
/** Segments whose columns are in memory: one that is filled, one that is inserted, one between. */
const ENCODERS = 3;
/** How long requests wait for ClickHouse to catch up before segments are left to the disk alone, milliseconds. */
const ROOM_MS = 5_000;
/** Segments that wait on disk, beyond which the ids of further ones are not kept in memory. */
const UNTESTED_BEHIND = 8;
/** How long a request whose events may be repeats waits to hear of them, milliseconds. */
const DOUBT_MS = 2_000;
/** How long readers wait for events that came after a quiet time, milliseconds, and how long that is. */
const SETTLED_MS = 200;
const QUIET_MS = 1_000;
const STOP_MS = 10_000;
/** How long a start waits for inserts of an earlier run; ClickHouse gives up those whose sender is gone. */
const INSERTS_END_MS = 60_000;

/**
 * Takes events in. Each is written to the open segment, and at the same time encoded into the columns in which
 * ClickHouse will get it; a request is answered when the segment is synced that far, and nothing waits for ClickHouse
 * but requests with ids that may be known, for a while, to be told what became of them.
 *
 *                                      +--> journal: written and synced in groups --> acknowledged
 *     record --> open segment (memory) |
 *                                      +--> sealed when full or due --> inserter --> ClickHouse --> removed
 *
 * The states of a segment are in `segment.ts`. Ids are not always tested when an event arrives: not before it is known what
 * ClickHouse holds, and not while many segments wait, so that what waits on disk costs no memory. Untested segments are
 * on disk only, and tested when they are read again. An event must not be tested before all that came earlier; so
 * between the last untested segment and the first tested one, requests wait for a moment (`#testRest`).
 */
export class Recorder implements EventSink {
  readonly #options: RecorderOptions;
  readonly #journal: Journal;
  #inserter!: Inserter;
  #known!: KnownIds;
  #others!: OtherCollectors;
  #open: Segment | undefined;
  readonly #idleEncoders = Array.from({ length: ENCODERS }, () => new EventBlockEncoder());
  #sealedAtMs = -Infinity;
  #afterQuiet: Segment | undefined;
  #sealTimer: NodeJS.Timeout | undefined;
  /** Every event is told as new or doubtful when it arrives. */
  #testing = false;
  #learned = false;
  #learning: Promise<void> = Promise.resolve();
  readonly #firstTesting = Promise.withResolvers<void>();
  /** Requests wait for it while the last untested segments are tested. */
  #gate: Promise<void> | undefined;
  #freed: PromiseWithResolvers<void> | undefined;
  #stopped = false;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#journal = new Journal(options);
  }

  /**
   * Finds what earlier runs left, and how far the record got. Events may come in when it resolves; what is known
   * of their ids is learned in the background.
   */
  async start(): Promise<void> {
    const { store, collectorId, logs, log } = this.#options;
    const left = await this.#journal.open();
    await this.#insertsToEnd();
    const sizes = await logSizes(store, collectorId);
    logs?.compare(sizes);
    logs?.follow(sizes);
    // A place that a log gave is never given again, whatever became of its event.
    for (const [tenant, size] of logs?.sizes() ?? []) sizes.set(tenant, Math.max(size, sizes.get(tenant) ?? 0));
    this.#known = new KnownIds(sizes.values().reduce((sum, size) => sum + size, 0));
    this.#others = new OtherCollectors({ ...this.#options, known: this.#known });
    await this.#others.start();
    this.#inserter = new Inserter({ ...this.#options, logs, journal: this.#journal, logSizes: sizes, onStored: (segments) => this.#others.stored(segments), known: this.#known, takeEncoder: () => this.#takeEncoder(), giveEncoder: (encoder) => this.#giveEncoder(encoder), mayTest: () => this.#learned && this.#gate === undefined, onDone: (segment) => this.#done(segment) });
    for (const segment of left) this.#inserter.push(leftSegment(segment));
    if (left.length > 0) log.info({ segments: left.length }, 'segments of an earlier run will be stored');
    this.#learning = this.#learn();
  }

  /** A server may still be at an insert of a process that died; what is known is known only when it has ended. */
  async #insertsToEnd(): Promise<void> {
    const { store, collectorId, log, clock } = this.#options;
    const deadline = clock.monotonicMs() + INSERTS_END_MS;
    while ((await runningInserts(store, insertComment(collectorId))) > 0) {
      if (clock.monotonicMs() >= deadline) throw new Error(`an insert of the collector ${collectorId} has been running in ClickHouse for long. Is another service running under the same AGENT_AUDIT_COLLECTOR_ID, or on the same data folder?`);
      log.warn('waiting for an insert of an earlier run to end');
      await clock.sleep(500);
    }
  }

  get state(): RecorderState {
    let refusing: string | undefined;
    try {
      this.#journal.admit(1);
    } catch (error) {
      refusing = (error as Error).message;
    }
    return { refusing, waiting: this.#inserter.queue.length, stuck: this.#inserter.stuck };
  }

  /**
   * While ClickHouse takes what it gets, but not as fast as it comes, senders are slowed down to its pace. Where it is
   * away or far behind, there is no sense in waiting for it.
   */
  room(sinceMs: number): Promise<unknown> | undefined {
    const waited = this.#options.clock.monotonicMs() - sinceMs;
    if (this.#stopped || this.#journal.failure !== undefined) return undefined;
    if (this.#gate !== undefined) return this.#gate;
    // Where there is little to learn, the first requests are told what is a repeat.
    if (!this.#testing) return !this.#learned && waited < DOUBT_MS ? withinMs(this.#firstTesting.promise, DOUBT_MS - waited) : undefined;
    const { queue, failing } = this.#inserter;
    if (this.#open?.rows !== undefined || this.#idleEncoders.length > 0 || failing || queue.some((segment) => segment.rows === undefined) || waited >= ROOM_MS) return undefined;
    this.#freed ??= Promise.withResolvers();
    return withinMs(this.#freed.promise, ROOM_MS - waited);
  }

  async record({ tenant, tape, refused, waitMs = 0 }: Recording): Promise<RecordResult> {
    if (tape.count === 0 && refused.length === 0) return { accepted: 0, duplicates: 0 };
    const { count } = tape;
    const receipt: Receipt = { duplicates: 0 };
    // No await before this: the caller clears the tape as soon as it has the promise.
    const { segment, synced, doubtful } = this.#append(tenant, tape, withQuarantineIds(refused), receipt);
    await synced;
    const patience = Math.max(waitMs, doubtful && !this.#inserter.failing ? DOUBT_MS : 0);
    const stored = patience > 0 && (await this.#untilStored(segment, patience));
    return { accepted: count - receipt.duplicates, duplicates: receipt.duplicates, ...(waitMs > 0 ? { stored } : {}) };
  }

  /**
   * Waits a moment for events that came after a quiet second: who records by hand and then asks, sees what was recorded. While
   * events keep coming, readers wait for none of them.
   */
  async settled(): Promise<void> {
    const segment = this.#afterQuiet;
    if (segment !== undefined && !this.#inserter.failing && (segment === this.#open || this.#inserter.queue[0] === segment)) await this.#untilStored(segment, SETTLED_MS);
  }

  /** Refuses new events, and resolves when all earlier ones are stored, or at least on disk. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#sealTimer);
    // A store that does not answer must not keep the service from stopping.
    await withinMs(this.#learning, STOP_MS);
    await this.#gate;
    if (this.#open !== undefined) this.#seal(this.#open);
    await this.#inserter.stop(STOP_MS);
    await this.#others.stop();
    await this.#journal.close();
  }

  #append(tenant: string, tape: EventTape, refused: QuarantinedRecord[], receipt: Receipt): { segment: Segment; synced: Promise<void>; doubtful: boolean } {
    let bytes = 0;
    for (let i = 0; i < tape.count; i++) bytes += tape.rawBytes(i);
    for (const { raw } of refused) bytes += raw.length;
    if (this.#stopped) throw new NotRecorded('the service is stopping');
    this.#journal.admit(bytes);
    const receivedAtMicros = Number(this.#options.clock.nowMicros());
    const segment = this.#openSegment(receivedAtMicros);
    const synced = this.#journal.append(segment.file, (buffer) => writeRecord(buffer, segment.file.seed, tenant, receivedAtMicros, tape, refused));
    const doubtful = this.#addRows(segment, tenant, tape, refused, receivedAtMicros, receipt);
    segment.events += tape.count;
    segment.bytes += bytes;
    segment.lastReceivedAtMicros = Math.max(segment.lastReceivedAtMicros, receivedAtMicros);
    segment.firstReceivedAtMicros = Math.min(segment.firstReceivedAtMicros, receivedAtMicros);
    if (segment.events >= SEGMENT_ROWS || segment.bytes >= SEGMENT_BYTES) this.#seal(segment);
    else this.#sealWhenDue();
    return { segment, synced, doubtful };
  }

  /** @returns whether any of the events may be known */
  #addRows(segment: Segment, tenant: string, tape: EventTape, refused: readonly QuarantinedRecord[], receivedAtMicros: number, receipt: Receipt): boolean {
    const { rows, doubtfulPlaces } = segment;
    if (rows === undefined) {
      // Untested: found out when it is read again.
      if (doubtfulPlaces === undefined) return false;
      for (let event = 0; event < tape.count; event++) if (!this.#known.add(tenant, tape, event)) doubtfulPlaces.push(segment.events + event);
      return false;
    }
    const origin = { segmentId: segment.file.id, collectorId: this.#options.collectorId };
    const doubtfulBefore = rows.doubtful.length;
    let logIndex = rows.counts.get(tenant) ?? 0;
    const row = { tenant, logIndex, flags: 0, receivedAtMicros };
    for (let event = 0; event < tape.count; event++) {
      if (this.#known.add(tenant, tape, event)) {
        row.logIndex = logIndex++;
        rows.encoder.append(tape, event, row, origin);
      } else {
        rows.doubtful.push({ tenant, receivedAtMicros, raw: Buffer.from(tape.raw(event)), receipt });
      }
    }
    rows.counts.set(tenant, logIndex);
    for (const event of refused) rows.refused.push({ ...event, raw: Buffer.from(event.raw), tenant, receivedAtMicros });
    return rows.doubtful.length > doubtfulBefore;
  }

  #openSegment(receivedAtMicros: number): Segment {
    // One segment, one partition: only then is its insert atomic. And nothing goes behind a write that failed.
    if (this.#open !== undefined && (this.#open.file.broken || monthOf(this.#open.firstReceivedAtMicros) !== monthOf(receivedAtMicros))) this.#seal(this.#open);
    if (this.#open === undefined) {
      const behind = this.#inserter.queue.filter((segment) => segment.rows === undefined).length;
      if (behind >= UNTESTED_BEHIND) this.#testing = false;
      // Behind segments that must be read again, this one would only keep its columns in memory for long.
      const encoder = this.#testing && behind === 0 ? this.#idleEncoders.pop() : undefined;
      this.#open = newSegment(
        this.#journal.begin(),
        encoder && { encoder, counts: new Map(), doubtful: [], refused: [] },
        this.#testing ? [] : undefined,
        receivedAtMicros,
      );
      this.#afterQuiet = this.#options.clock.monotonicMs() - this.#sealedAtMs > QUIET_MS ? this.#open : undefined;
    }
    return this.#open;
  }

  #seal(segment: Segment): void {
    this.#open = undefined;
    this.#sealedAtMs = this.#options.clock.monotonicMs();
    clearTimeout(this.#sealTimer);
    this.#sealTimer = undefined;
    segment.sealed = this.#journal.seal(segment.file);
    this.#inserter.push(segment);
  }

  /** A segment that is not full waits for the one before to be stored, and is not the next within a moment. */
  #sealWhenDue(): void {
    if (this.#open === undefined || this.#sealTimer !== undefined || this.#inserter.queue.length > 0) return;
    const wait = Math.max(0, this.#sealedAtMs + SEAL_MS - this.#options.clock.monotonicMs());
    this.#sealTimer = setTimeout(() => {
      this.#sealTimer = undefined;
      if (this.#open !== undefined && this.#inserter.queue.length === 0) this.#seal(this.#open);
    }, wait);
  }

  #done({ rows }: Segment): void {
    if (rows !== undefined) void (rows.logged ?? Promise.resolve()).then(() => this.#giveEncoder(rows.encoder));
    this.#options.telemetry.knownIds(this.#known.bytes);
    this.#testRestWhenFew();
    this.#sealWhenDue();
  }

  /** What is behind is read with the encoders that stand idle while it is: memory stays what it was. */
  #takeEncoder(): EventBlockEncoder {
    return this.#idleEncoders.pop() ?? new EventBlockEncoder();
  }

  #giveEncoder(encoder: EventBlockEncoder): void {
    encoder.discard();
    if (this.#idleEncoders.length < ENCODERS) this.#idleEncoders.push(encoder);
    this.#freed?.resolve();
    this.#freed = undefined;
  }

  /** Somebody waits: the open segment does not wait to be due. */
  async #untilStored(segment: Segment, ms: number): Promise<boolean> {
    if (segment === this.#open && this.#inserter.queue.length === 0) this.#seal(segment);
    return withinMs(segment.stored, ms);
  }

  async #learn(): Promise<void> {
    const { store, log, clock } = this.#options;
    for (;;) {
      if (this.#stopped) return;
      try {
        const ids = await this.#known.learn(store, () => this.#stopped);
        // Then not all was learned: what came in stays untested, for the next start.
        if (this.#stopped) return;
        log.info({ ids }, 'learned which ids are recorded');
        break;
      } catch (error) {
        log.warn({ err: error }, 'could not learn which ids are recorded; trying again');
        await clock.sleep(1_000);
      }
    }
    this.#learned = true;
    this.#options.telemetry.knownIds(this.#known.bytes);
    this.#others.listen();
    this.#testRestWhenFew();
    this.#inserter.wake();
  }

  /** Never while the inserter reads a segment: ids are tested in the order in which they came. */
  #testRestWhenFew(): void {
    if (this.#testing || !this.#learned || this.#gate !== undefined || this.#stopped || this.#inserter.reading || this.#untested().length > 1) return;
    this.#gate = this.#testRest().finally(() => {
      this.#gate = undefined;
      this.#inserter.wake();
    });
  }

  /** Ends with no segment open, and none untested: what is taken in from then on is tested when it arrives. */
  async #testRest(): Promise<void> {
    for (;;) {
      if (this.#open !== undefined) this.#seal(this.#open);
      const [segment] = this.#untested();
      if (segment === undefined) break;
      if (this.#stopped) return;
      await this.#test(segment);
    }
    this.#testing = true;
    this.#firstTesting.resolve();
  }

  #untested(): Segment[] {
    return this.#inserter.queue.filter((segment) => segment.rows === undefined && segment.doubtfulPlaces === undefined);
  }

  async #test(segment: Segment): Promise<void> {
    await segment.sealed;
    try {
      segment.doubtfulPlaces = await findDoubtful(this.#journal, segment, this.#known);
    } catch (error) {
      // The inserter puts it aside.
      segment.unreadable = error;
      segment.doubtfulPlaces = [];
    }
  }
}

/** @returns whether the promise was resolved in time */
async function withinMs(promise: Promise<void>, ms: number): Promise<boolean> {
  const { promise: over, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), ms);
  const inTime = await Promise.race([promise.then(() => true), over]);
  clearTimeout(timer);
  return inTime;
}

/** Months since the epoch, in UTC: the partition that a row goes to. */
function monthOf(micros: number): number {
  const date = new Date(micros / 1000);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}
