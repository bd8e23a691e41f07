import { markCopies, PUT_SEGMENTS, putSegments, segmentIds, SEGMENTS_PAGE, segmentsOfOthers, serverClock, type Store, type StoredSegment } from '@agent-audit/queries';
import type { Clock, Log } from '@agent-audit/shared';
import type { KnownIds } from './known-ids.ts';
import type { Segment } from './segment.ts';

export interface OtherCollectorsOptions {
  readonly store: Store;
  readonly collectorId: string;
  readonly known: KnownIds;
  readonly log: Log;
  readonly clock: Clock;
}

const EVERY_MS = 1_000;
/** An event that was taken in before its id was heard of is in one of the next segments that are stored here. */
const SEGMENTS_IN_FLIGHT = 5;
/** A segment's row carries the time at which its insert began; it may be seen later than those of others that began after it. */
const MARGIN_US = 60_000_000n;

/**
 * What other collectors record into the same database.
 *
 * Their ids become known here about a second after they were stored, and from then on a repeat is told as one. Two
 * that record the same event within that second both store it. So an id of theirs that is known here already is
 * looked up, now and after each of the next segments of our own, and what is there twice is noted (`markCopies`). The
 * one that stored first hears of the other's segment when both rows are there, so one of the two always sees them.
 */
export class OtherCollectors {
  readonly #options: OtherCollectorsOptions;
  #sinceUs = 0n;
  /** Of the server's clock, before the time since this process began: a machine's clock may be set. */
  #serverAheadUs = 0n;
  readonly #heard = new Map<string, bigint>();
  /** By tenant: ids of others that were known here when they were heard of, and after how many more segments they are let go. */
  readonly #suspects = new Map<string, Map<string, number>>();
  #timer: NodeJS.Timeout | undefined;
  #listening: Promise<void> | undefined;
  #stopped = false;

  constructor(options: OtherCollectorsOptions) {
    this.#options = options;
  }

  /** To be called before the recorded ids are learned: what is stored from now on is heard of. @throws StoreError */
  async start(): Promise<void> {
    this.#serverAheadUs = (await serverClock(this.#options.store)) - monotonicUs();
    this.#sinceUs = this.#serverAheadUs + monotonicUs() - MARGIN_US;
  }

  /** To be called when the recorded ids are learned. */
  listen(): void {
    this.#timer = setTimeout(() => void this.#listenOnce(false).then(() => this.#stopped || this.listen()), EVERY_MS);
  }

  /** Tells others of segments that were stored here, and looks what they stored meanwhile. Never rejects. */
  async stored(segments: readonly Segment[]): Promise<void> {
    const { store, collectorId, log } = this.#options;
    const put = segments.map(({ file, firstReceivedAtMicros, lastReceivedAtMicros }) => ({ id: file.id, firstUs: firstReceivedAtMicros, lastUs: lastReceivedAtMicros }));
    try {
      for (let i = 0; i < put.length; i += PUT_SEGMENTS) await putSegments(store, collectorId, put.slice(i, i + PUT_SEGMENTS));
    } catch (error) {
      log.warn({ err: error, segments: put.length }, 'other collectors could not be told of segments');
    }
    if (this.#suspects.size > 0) await this.#listenOnce(true);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#listening;
  }

  /** @param settled more segments of our own are stored */
  #listenOnce(settled: boolean): Promise<void> {
    return (this.#listening ??= this.#hear(settled)
      .catch((error: unknown) => this.#options.log.debug({ err: error }, 'could not hear of other collectors; trying again'))
      .finally(() => {
        this.#listening = undefined;
      }));
  }

  async #hear(settled: boolean): Promise<void> {
    const { store, collectorId } = this.#options;
    const nextUs = this.#serverAheadUs + monotonicUs() - MARGIN_US;
    let newestUs = this.#sinceUs;
    // By pages: after an absence there may be more than one.
    for (;;) {
      const segments = await segmentsOfOthers(store, collectorId, newestUs);
      for (const segment of segments) if (!this.#heard.has(segment.segment_id)) await this.#learn(segment);
      const before = newestUs;
      newestUs = segments.at(-1)?.stored_at_us ?? before;
      if (segments.length < SEGMENTS_PAGE || newestUs === before) break;
    }
    // Also when nobody else is there: our own segments are in the same table, and need not be read for ever.
    this.#sinceUs = nextUs;
    for (const [id, storedAtUs] of this.#heard) if (storedAtUs < nextUs) this.#heard.delete(id);
    for (const [tenant, ids] of this.#suspects) {
      const shared = await markCopies(store, tenant, [...ids.keys()]);
      for (const [id, left] of ids) {
        if (shared.has(id) || left === 0) ids.delete(id);
        else if (settled) ids.set(id, left - 1);
      }
      if (ids.size === 0) this.#suspects.delete(tenant);
    }
  }

  async #learn({ segment_id: id, stored_at_us: storedAtUs, first_us: first, last_us: last }: StoredSegment): Promise<void> {
    for (const { tenant, event_id: eventId } of await segmentIds(this.#options.store, id, first, last)) {
      if (this.#options.known.addId(tenant, eventId)) continue;
      const suspects = this.#suspects.get(tenant) ?? new Map<string, number>();
      this.#suspects.set(tenant, suspects.set(eventId, SEGMENTS_IN_FLIGHT));
    }
    this.#heard.set(id, storedAtUs);
  }
}

function monotonicUs(): bigint {
  return BigInt(Math.floor(performance.now() * 1000));
}
