import { hash, randomUUIDv7 } from 'node:crypto';
import { ByteBuffer, countSegment, EventBlockEncoder, findRecorded, FLAG_BITS, ID_HASH_BYTES, logSizes, recordedIdHashes, StoreError, type Store } from '@agent-audit/queries';
import { eventLayout, type EventTape } from '@agent-audit/schemas';
import type { Clock, Log, Telemetry } from '@agent-audit/shared';
import { SeenIds } from './seen-ids.ts';

export interface RecordResult {
  /** Events that are new, conflicts included. */
  readonly accepted: number;
  /** Events that were recorded before with the same bytes. */
  readonly duplicates: number;
}

/** The record cannot take events now; nothing of the request was acknowledged, and it may be repeated as it is. */
export class NotRecorded extends Error {
  override readonly name = 'NotRecorded';
}

export interface RecorderOptions {
  readonly store: Store;
  readonly collectorId: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** How long one insert is repeated while ClickHouse does not take it, in milliseconds. */
  readonly patienceMs?: number;
}

interface Waiter {
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** What becomes one insert, one block and one part. */
interface Segment {
  readonly id: string;
  readonly waiters: Waiter[];
  readonly firstReceivedAtMicros: number;
  lastReceivedAtMicros: number;
  rows: number;
  bytes: number;
}

interface SealedSegment extends Segment {
  readonly block: Buffer;
  /** What `block` is a view of. */
  readonly buffer: ByteBuffer;
}

/** A request with ids that may be known. */
interface Doubtful {
  readonly tenant: string;
  readonly tape: EventTape;
  readonly bytes: number;
  readonly resolve: (result: Promise<RecordResult>) => void;
  readonly reject: (error: Error) => void;
}

const SEGMENT_ROWS = 32_000;
const SEGMENT_BYTES = 32 * 1024 * 1024;
/** Bytes of events taken in and not yet recorded; beyond it, requests are refused. */
const QUEUE_BYTES = 128 * 1024 * 1024;
const IDLE_BUFFERS_MAX = 2;
const PATIENCE_MS = 30_000;
/** Ids per lookup; they travel in one parameter, of which ClickHouse takes 128 KiB. */
const LOOKUP_IDS = 500;

/**
 * Records events: tells what is new from what is known, encodes it into the open segment, and inserts segments
 * one after the other.
 *
 *            all ids certainly new
 *   record ----------------------------> open segment --sealed--> waiting --> inserting --> recorded: answered
 *      |                                      ^                                  |
 *      | some may be known                    | the new ones                     +--> not recorded: it and all
 *      +--> looked up in the store, after ----+                                       behind it are refused
 *           all earlier segments
 *
 * A segment is sealed when it is full, or as soon as nothing else is being inserted: alone, an event waits for
 * nobody; under load, requests share an insert.
 *
 * Invariants: an id that was ever taken in is in `#seen`, so a second request with it is looked up after the first
 * has been settled. Positions (`log_index`) are given out in the order of insertion, and after a failure they
 * are read from the store again before any is given out.
 */
export class Recorder {
  readonly #options: Required<RecorderOptions>;
  readonly #encoder = new EventBlockEncoder();
  #open: Segment | undefined;
  readonly #sealed: SealedSegment[] = [];
  /** Blocks are tens of megabytes; allocating each anew keeps the collector of garbage busy. */
  readonly #idleBuffers: ByteBuffer[] = [];
  #inserting: Promise<void> | undefined;
  #queuedBytes = 0;
  #seen = new SeenIds();
  #seenLoaded = false;
  #learning: Promise<void> = Promise.resolve();
  readonly #doubtful: Doubtful[] = [];
  #lookingUp: Promise<void> | undefined;
  /** The next position of each tenant; undefined when it must be read from the store. */
  #logSizes: Map<string, number> | undefined;
  #stopped = false;

  constructor(options: RecorderOptions) {
    this.#options = { patienceMs: PATIENCE_MS, ...options };
  }

  /**
   * Reads how far the record got, then learns in the background which ids it holds. Events may come in at
   * once: until that is done, every id is looked up instead.
   */
  async start(): Promise<void> {
    this.#logSizes = await logSizes(this.#options.store, this.#options.collectorId);
    this.#seen = new SeenIds(this.#logSizes.values().reduce((sum, size) => sum + size, 0));
    this.#learning = this.#learnRecordedIds();
  }

  /**
   * Records the events on a tape, all of one tenant.
   *
   * The promise resolves only when every accepted event is on disk in ClickHouse and synced; callers must not
   * acknowledge anything before, nor touch the tape. When it rejects, some of the events may still have been stored:
   * repeating the request is safe and tells them as duplicates.
   *
   * @throws NotRecorded when too much is waiting, the recorder is stopping or ClickHouse does not take the events
   */
  async record(tenant: string, tape: EventTape): Promise<RecordResult> {
    if (tape.count === 0) return { accepted: 0, duplicates: 0 };
    if (this.#stopped) throw new NotRecorded('the service is stopping');
    let bytes = 0;
    for (let i = 0; i < tape.count; i++) bytes += tape.rawBytes(i);
    if (this.#queuedBytes > 0 && this.#queuedBytes + bytes > QUEUE_BYTES) throw new NotRecorded('too many events are waiting to be recorded');
    this.#addQueued(bytes);
    if (this.#areNew(tenant, tape) && this.#logSizes !== undefined) {
      const accepted = tape.count;
      await this.#append(tenant, tape, everyEvent(accepted), bytes, this.#logSizes);
      return { accepted, duplicates: 0 };
    }
    return new Promise<RecordResult>((resolve, reject) => {
      this.#doubtful.push({ tenant, tape, bytes, resolve, reject });
      this.#lookingUp ??= this.#lookUpAll().finally(() => {
        this.#lookingUp = undefined;
      });
    });
  }

  /** Refuses new events and resolves when all earlier ones are recorded or refused. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#lookingUp;
    await this.#settle();
    await this.#learning;
  }

  /** Marks all ids as seen; true when every one of them was certainly new. */
  #areNew(tenant: string, tape: EventTape): boolean {
    let certain = this.#seenLoaded;
    for (let i = 0; i < tape.count; i++) {
      const at = 2 * (tape.frame(i) + EVENT_ID);
      if (!this.#seen.add(tenant, tape.source(i), tape.ints[at] as number, tape.ints[at + 1] as number)) certain = false;
    }
    return certain;
  }

  /**
   * Encodes events into the open segment; the tape is not needed afterwards.
   *
   * @param events places on the tape; with the conflict flag for those in `conflicts`
   * @returns when they are recorded
   * @throws NotRecorded
   */
  #append(tenant: string, tape: EventTape, events: Iterable<number>, bytes: number, sizes: Map<string, number>, conflicts?: ReadonlySet<number>): Promise<void> {
    const receivedAtMicros = Number(this.#options.clock.nowMicros());
    const segment = this.#openSegment(receivedAtMicros);
    const origin = { segmentId: segment.id, collectorId: this.#options.collectorId };
    let logIndex = sizes.get(tenant) ?? 0;
    for (const event of events) {
      const flags = conflicts?.has(event) === true ? FLAG_BITS.conflict : 0;
      this.#encoder.append(tape, event, { tenant, logIndex: logIndex++, flags, receivedAtMicros }, origin);
    }
    sizes.set(tenant, logIndex);
    segment.rows = this.#encoder.rows;
    segment.bytes += bytes;
    segment.lastReceivedAtMicros = receivedAtMicros;
    const recorded = new Promise<void>((resolve, reject) => segment.waiters.push({ bytes, resolve, reject }));
    if (segment.rows >= SEGMENT_ROWS || segment.bytes >= SEGMENT_BYTES) this.#seal();
    // What arrives in the same turn of the event loop shares a segment.
    else if (this.#inserting === undefined) setImmediate(() => this.#insertSegments());
    return recorded;
  }

  #openSegment(receivedAtMicros: number): Segment {
    // One segment, one partition: only then is its insert atomic.
    if (this.#open !== undefined && monthOf(this.#open.firstReceivedAtMicros) !== monthOf(receivedAtMicros)) this.#seal();
    this.#open ??= { id: randomUUIDv7(), waiters: [], firstReceivedAtMicros: receivedAtMicros, lastReceivedAtMicros: receivedAtMicros, rows: 0, bytes: 0 };
    return this.#open;
  }

  #seal(): void {
    this.#closeOpen();
    this.#insertSegments();
  }

  #closeOpen(): void {
    if (this.#open === undefined) return;
    const buffer = this.#idleBuffers.pop() ?? new ByteBuffer(0);
    this.#sealed.push({ ...this.#open, block: this.#encoder.finish(buffer), buffer });
    this.#open = undefined;
  }

  #insertSegments(): void {
    this.#inserting ??= (async () => {
      for (;;) {
        if (this.#sealed.length === 0) this.#closeOpen();
        const segment = this.#sealed.shift();
        if (segment === undefined) return;
        try {
          await this.#insertUntilStored(segment);
          this.#answer(segment.waiters);
          if (this.#idleBuffers.length < IDLE_BUFFERS_MAX) this.#idleBuffers.push(segment.buffer);
        } catch (error) {
          this.#refuse(segment, error);
        }
      }
    })().finally(() => {
      this.#inserting = undefined;
    });
  }

  /** Resolves when everything that was appended before is recorded or refused. */
  async #settle(): Promise<void> {
    this.#seal();
    await this.#inserting;
  }

  /**
   * Inserts a segment, however often that takes. After a failure nobody knows whether it was stored, so from then on the
   * store is asked and not believed: ClickHouse remembers a token before it writes the part, and one that died in
   * between takes the repeated insert for a duplicate of rows that are not there.
   */
  async #insertUntilStored(segment: SealedSegment): Promise<void> {
    // Nothing but duplicates of what was stored before.
    if (segment.rows === 0) return;
    const { store, log, clock, telemetry, patienceMs } = this.#options;
    const deadline = clock.nowMs() + patienceMs;
    for (let attempt = 0, token = segment.id; ; attempt++) {
      const begin = clock.nowMs();
      try {
        if (attempt > 0 && (await this.#isStored(segment))) return;
        await store.insertNative('events', this.#encoder.columnNames, segment.block, token);
        if (attempt === 0 || (await this.#isStored(segment))) {
          telemetry.inserted((clock.nowMs() - begin) / 1000, segment.rows);
          return;
        }
        log.warn({ segment_id: segment.id, attempt }, 'an insert was taken for a duplicate of one that was never stored; it goes on under another token');
        token = `${segment.id}/${attempt}`;
      } catch (error) {
        telemetry.insertFailed();
        if (!(error instanceof StoreError) || !error.retryable || clock.nowMs() >= deadline) throw error;
        log.warn({ err: error, segment_id: segment.id, attempt }, 'an insert failed and will be repeated');
        await clock.sleep(Math.min(1_000, 50 * 2 ** attempt));
      }
    }
  }

  /** Whether all rows of a segment are in the store. @throws StoreError */
  async #isStored(segment: Segment): Promise<boolean> {
    const stored = await countSegment(this.#options.store, segment.id, segment.firstReceivedAtMicros, segment.lastReceivedAtMicros);
    return stored >= segment.rows;
  }

  #answer(waiters: readonly Waiter[]): void {
    for (const { bytes, resolve } of waiters) {
      this.#addQueued(-bytes);
      resolve();
    }
  }

  /** Refuses a segment that could not be stored, and all behind it: their positions may be given out again. */
  #refuse(failed: SealedSegment, error: unknown): void {
    this.#logSizes = undefined;
    const behind: Segment[] = this.#sealed.splice(0);
    if (this.#open !== undefined) {
      behind.push(this.#open);
      this.#encoder.discard();
      this.#open = undefined;
    }
    const waiters = [failed, ...behind].flatMap((segment) => segment.waiters);
    this.#options.log.error({ err: error, requests: waiters.length }, 'events were not recorded; their senders were told to repeat');
    for (const { bytes, reject } of waiters) {
      this.#addQueued(-bytes);
      reject(new NotRecorded('the store does not take events at the moment', { cause: error }));
    }
  }

  /** Works off the requests with ids that may be known, all that are waiting at a time. */
  async #lookUpAll(): Promise<void> {
    while (this.#doubtful.length > 0) {
      const requests = this.#doubtful.splice(0);
      try {
        // What was taken in before may hold the same ids; now the store knows them.
        await this.#settle();
        const recorded = await this.#findRecorded(requests);
        // Last, with no wait before they are used: a segment refused meanwhile would have made them wrong.
        const sizes = (this.#logSizes ??= await logSizes(this.#options.store, this.#options.collectorId));
        for (const request of requests) this.#appendNew(request, recorded, sizes);
      } catch (error) {
        this.#options.log.error({ err: error, requests: requests.length }, 'could not look up which events are recorded');
        for (const { bytes, reject } of requests) {
          this.#addQueued(-bytes);
          reject(new NotRecorded('the store does not answer at the moment', { cause: error }));
        }
      }
    }
  }

  /** @param recorded digests by tenant and id; those of the events appended are added */
  #appendNew({ tenant, tape, bytes, resolve }: Doubtful, recorded: DigestsByTenant, sizes: Map<string, number>): void {
    const ofTenant = recorded.get(tenant) as Map<string, Set<string>>;
    const fresh: number[] = [];
    const conflicts = new Set<number>();
    for (let i = 0; i < tape.count; i++) {
      const id = eventId(tape, i);
      const digest = hash('sha256', tape.raw(i), 'hex');
      const known = ofTenant.get(id);
      if (known?.has(digest) === true) continue;
      if (known === undefined) ofTenant.set(id, new Set([digest]));
      else {
        known.add(digest);
        conflicts.add(i);
      }
      fresh.push(i);
    }
    const result = { accepted: fresh.length, duplicates: tape.count - fresh.length };
    // Duplicates of events in the same segment must not be acknowledged before it is stored, so all wait for it.
    resolve(this.#append(tenant, tape, fresh, bytes, sizes, conflicts).then(() => result));
  }

  async #findRecorded(requests: readonly Doubtful[]): Promise<DigestsByTenant> {
    const ids = new Map<string, Set<string>>();
    for (const { tenant, tape } of requests) {
      const ofTenant = ids.get(tenant) ?? new Set();
      ids.set(tenant, ofTenant);
      for (let i = 0; i < tape.count; i++) ofTenant.add(eventId(tape, i));
    }
    const recorded: DigestsByTenant = new Map();
    for (const [tenant, ofTenant] of ids) {
      const list = [...ofTenant];
      const digests = new Map<string, Set<string>>();
      for (let i = 0; i < list.length; i += LOOKUP_IDS) {
        for (const [id, found] of await findRecorded(this.#options.store, tenant, list.slice(i, i + LOOKUP_IDS))) digests.set(id, found);
      }
      recorded.set(tenant, digests);
    }
    return recorded;
  }

  async #learnRecordedIds(): Promise<void> {
    const { store, log, clock } = this.#options;
    while (!this.#stopped) {
      try {
        let ids = 0;
        for await (const chunk of recordedIdHashes(store)) {
          for (let i = 0; i < chunk.length; i += ID_HASH_BYTES) this.#seen.addHashes(chunk.readUInt32LE(i), chunk.readUInt32LE(i + 4));
          ids += chunk.length / ID_HASH_BYTES;
          if (this.#stopped) return;
        }
        this.#seenLoaded = true;
        log.info({ ids }, 'learned which ids are recorded');
        return;
      } catch (error) {
        log.warn({ err: error }, 'could not learn which ids are recorded; trying again');
        await clock.sleep(1_000);
      }
    }
  }

  #addQueued(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#options.telemetry.queued(this.#queuedBytes);
  }
}

/** SHA-256 of what is recorded, by tenant and event_id. */
type DigestsByTenant = Map<string, Map<string, Set<string>>>;

const EVENT_ID = eventLayout().leaf('/event_id');

function eventId(tape: EventTape, event: number): string {
  const at = 2 * (tape.frame(event) + EVENT_ID);
  return Buffer.from(tape.source(event).subarray(tape.ints[at], tape.ints[at + 1])).toString('latin1');
}

function* everyEvent(count: number): Generator<number> {
  for (let i = 0; i < count; i++) yield i;
}

/** Months since the epoch, in UTC: the partition that a row goes to. */
function monthOf(micros: number): number {
  const date = new Date(micros / 1000);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}
