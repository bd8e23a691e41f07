import { hash, randomUUIDv7 } from 'node:crypto';
import {
  countSegment, EventBlockEncoder, findRecorded, FLAG_BITS, ID_HASH_BYTES, logSizes, recordedIdHashes, StoreError,
  type EventRow, type Store,
} from '@agent-audit/queries';
import type { AuditEvent } from '@agent-audit/schemas';
import type { Clock, Log, Telemetry } from '@agent-audit/shared';
import { idKey, SeenIds } from './seen-ids.ts';

export interface NewEvent {
  readonly event: AuditEvent;
  /** The event's exact bytes. Must not change until `record` settles. */
  readonly raw: Uint8Array;
}

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

/** One `record` call on its way. */
interface Request {
  readonly tenant: string;
  readonly events: readonly NewEvent[];
  readonly bytes: number;
  result: RecordResult;
  readonly resolve: (result: RecordResult) => void;
  readonly reject: (error: Error) => void;
}

/** One insert: the rows of one or more requests. */
interface Segment {
  readonly id: string;
  readonly requests: readonly Request[];
  readonly receivedAtMicros: bigint;
  readonly rows: readonly EventRow[];
  readonly keys: readonly string[];
  readonly block: Buffer | undefined;
}

const SEGMENT_ROWS = 20_000;
const SEGMENT_BYTES = 32 * 1024 * 1024;
const QUEUE_BYTES = 128 * 1024 * 1024;
const PATIENCE_MS = 30_000;
/** Ids per lookup; they travel as one parameter. */
const LOOKUP_IDS = 1_000;

/**
 * Records events: decides what is new, puts the events of waiting requests together into one segment,
 * and inserts it. While one segment is being inserted, the next is prepared.
 *
 *   queued -> prepared (new told from known, encoded) -> inserting -> recorded   (every request is answered)
 *                                                            |
 *                                                            +-> not recorded    (it and all behind it are refused;
 *                                                                                 positions are read again from the store)
 *
 * Invariant: segments are inserted one after the other in the order in which their `log_index` was given
 * out, and none is given out again unless the store was asked how far it got.
 */
export class Recorder {
  readonly #options: Required<RecorderOptions>;
  readonly #encoder = new EventBlockEncoder();
  readonly #queue: Request[] = [];
  #queuedBytes = 0;
  #seen = new SeenIds();
  #seenLoaded = false;
  /** Ids of segments that are prepared or inserting, with the bytes of each event under them. */
  readonly #pending = new Map<string, Uint8Array[]>();
  #logSizes: Map<string, number> | undefined;
  #running: Promise<void> | undefined;
  #learning: Promise<void> = Promise.resolve();
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

  /**
   * Records validated events of one tenant.
   *
   * The promise resolves only when every accepted event is on disk in ClickHouse and synced; callers must not
   * acknowledge anything before. When it rejects, some of the events may still have been stored: repeating the request
   * is safe and tells them as duplicates.
   *
   * @throws NotRecorded when the queue is full, the recorder is stopping or ClickHouse does not take the events
   */
  record(tenant: string, events: readonly NewEvent[]): Promise<RecordResult> {
    if (events.length === 0) return Promise.resolve({ accepted: 0, duplicates: 0 });
    if (this.#stopped) return Promise.reject(new NotRecorded('the service is stopping'));
    const bytes = events.reduce((sum, { raw }) => sum + raw.length, 0);
    if (this.#queuedBytes > 0 && this.#queuedBytes + bytes > QUEUE_BYTES) return Promise.reject(new NotRecorded('too many events are waiting to be recorded'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ tenant, events, bytes, result: { accepted: 0, duplicates: 0 }, resolve, reject });
      this.#addQueued(bytes);
      this.#running ??= this.#run().finally(() => {
        this.#running = undefined;
      });
    });
  }

  /** Refuses new events and resolves when all earlier ones are recorded or refused. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    await this.#learning;
  }

  async #run(): Promise<void> {
    let inserting: Promise<boolean> = Promise.resolve(true);
    while (this.#queue.length > 0) {
      const requests = this.#takeRequests();
      let segment: Segment;
      try {
        segment = await this.#prepare(requests);
      } catch (error) {
        await inserting;
        this.#refuse(requests, error);
        continue;
      }
      if (!(await inserting)) {
        this.#forget(segment);
        this.#refuse(segment.requests, new NotRecorded('an earlier insert failed'));
        continue;
      }
      inserting = this.#insert(segment);
      // With nothing to prepare meanwhile, wait: later requests may join the next segment.
      if (this.#queue.length === 0) await inserting;
    }
    await inserting;
  }

  #takeRequests(): Request[] {
    const requests: Request[] = [];
    let rows = 0;
    let bytes = 0;
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (requests.length > 0 && (rows + next.events.length > SEGMENT_ROWS || bytes + next.bytes > SEGMENT_BYTES)) break;
      requests.push(next);
      rows += next.events.length;
      bytes += next.bytes;
      this.#queue.shift();
    }
    return requests;
  }

  async #prepare(requests: readonly Request[]): Promise<Segment> {
    const { store, collectorId, clock } = this.#options;
    const sizes = (this.#logSizes ??= await logSizes(store, collectorId));
    const recorded = await this.#lookUp(requests);
    const rows: EventRow[] = [];
    const keys: string[] = [];
    for (const request of requests) {
      let duplicates = 0;
      for (const { event, raw } of request.events) {
        const key = idKey(request.tenant, event.event_id);
        const verdict = this.#compare(key, raw, recorded);
        if (verdict === 'duplicate') {
          duplicates++;
          continue;
        }
        const logIndex = sizes.get(request.tenant) ?? 0;
        sizes.set(request.tenant, logIndex + 1);
        rows.push({ tenant: request.tenant, event, raw, logIndex, flags: verdict === 'conflict' ? FLAG_BITS.conflict : 0 });
        keys.push(key);
        const pending = this.#pending.get(key);
        if (pending === undefined) this.#pending.set(key, [raw]);
        else pending.push(raw);
      }
      request.result = { accepted: request.events.length - duplicates, duplicates };
    }
    const id = randomUUIDv7();
    const receivedAtMicros = clock.nowMicros();
    const block = rows.length === 0 ? undefined : this.#encoder.encode(rows, { segmentId: id, collectorId, receivedAtMicros });
    return { id, requests, receivedAtMicros, rows, keys, block };
  }

  /** The digests of what is recorded under each id that may be known, by `idKey`. */
  async #lookUp(requests: readonly Request[]): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
    const doubtful = new Map<string, Set<string>>();
    for (const { tenant, events } of requests) {
      for (const { event } of events) {
        if (this.#seenLoaded && !this.#seen.mayHold(idKey(tenant, event.event_id))) continue;
        let ids = doubtful.get(tenant);
        if (ids === undefined) doubtful.set(tenant, (ids = new Set()));
        ids.add(event.event_id);
      }
    }
    const recorded = new Map<string, ReadonlySet<string>>();
    for (const [tenant, ids] of doubtful) {
      const list = [...ids];
      for (let i = 0; i < list.length; i += LOOKUP_IDS) {
        const found = await findRecorded(this.#options.store, tenant, list.slice(i, i + LOOKUP_IDS));
        for (const [eventId, digests] of found) recorded.set(idKey(tenant, eventId), digests);
      }
    }
    return recorded;
  }

  #compare(key: string, raw: Uint8Array, recorded: ReadonlyMap<string, ReadonlySet<string>>): 'new' | 'duplicate' | 'conflict' {
    const pending = this.#pending.get(key);
    const digests = recorded.get(key);
    if (pending === undefined && digests === undefined) return 'new';
    if (pending?.some((other) => Buffer.compare(other, raw) === 0) === true) return 'duplicate';
    if (digests?.has(hash('sha256', raw, 'hex')) === true) return 'duplicate';
    return 'conflict';
  }

  /** Resolves to whether the segment is stored; answers its requests either way. */
  async #insert(segment: Segment): Promise<boolean> {
    try {
      if (segment.block !== undefined) await this.#insertUntilStored(segment, segment.block);
      for (const key of segment.keys) this.#seen.add(key);
      this.#forget(segment);
      for (const request of segment.requests) {
        this.#addQueued(-request.bytes);
        request.resolve(request.result);
      }
      return true;
    } catch (error) {
      // Nobody knows what was stored, so its ids count as known, to be looked up, and positions are read again.
      for (const key of segment.keys) this.#seen.add(key);
      this.#forget(segment);
      this.#refuse(segment.requests, error);
      return false;
    }
  }

  async #insertUntilStored(segment: Segment, block: Buffer): Promise<void> {
    const { store, log, clock, telemetry, patienceMs } = this.#options;
    const deadline = clock.nowMs() + patienceMs;
    for (let attempt = 0; ; attempt++) {
      const begin = clock.nowMs();
      try {
        await store.insertNative('events', this.#encoder.columnNames, block, segment.id);
        telemetry.inserted((clock.nowMs() - begin) / 1000, segment.rows.length);
        return;
      } catch (error) {
        telemetry.insertFailed();
        if (!(error instanceof StoreError) || !error.retryable || clock.nowMs() >= deadline) throw error;
        log.warn({ err: error, segment_id: segment.id, attempt }, 'an insert failed and will be repeated');
        await clock.sleep(Math.min(1_000, 50 * 2 ** attempt));
        if (await this.#isStored(segment)) return;
      }
    }
  }

  /** Whether a segment whose insert was not answered got there all the same. */
  async #isStored(segment: Segment): Promise<boolean> {
    try {
      return (await countSegment(this.#options.store, segment.id, segment.receivedAtMicros)) >= segment.rows.length;
    } catch (error) {
      this.#options.log.debug({ err: error, segment_id: segment.id }, 'could not ask for a segment');
      return false;
    }
  }

  #addQueued(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#options.telemetry.queued(this.#queuedBytes);
  }

  #forget(segment: Segment): void {
    segment.keys.forEach((key, i) => {
      const others = this.#pending.get(key)?.filter((raw) => raw !== segment.rows[i]?.raw) ?? [];
      if (others.length === 0) this.#pending.delete(key);
      else this.#pending.set(key, others);
    });
  }

  #refuse(requests: readonly Request[], error: unknown): void {
    this.#logSizes = undefined;
    this.#options.log.error({ err: error, requests: requests.length }, 'events were not recorded; their senders were told to repeat');
    for (const request of requests) {
      this.#addQueued(-request.bytes);
      request.reject(new NotRecorded('the store does not take events at the moment', { cause: error }));
    }
  }
}
