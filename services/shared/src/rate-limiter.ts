import type { Clock } from './clock.ts';
import { Problem } from './problem.ts';

/** How fast a key may be; undefined: as fast as it can. */
export interface KeyRate {
  readonly eventsPerSecond: number | undefined;
  readonly requestsPerSecond: number | undefined;
}

export const UNLIMITED: KeyRate = { eventsPerSecond: undefined, requestsPerSecond: undefined };

/** Whose request it is, and what was agreed for its key. */
export interface RateCaller {
  readonly tenant: string;
  readonly keyId: string;
  readonly rate?: KeyRate | undefined;
}

/** A bucket holds so many seconds of its rate: a client that was silent may catch up on them at once. */
const BURST_SECONDS = 5;
/** Buckets that are kept; beyond it, the one that was used longest ago begins anew. */
const BUCKETS_MAX = 20_000;

interface Bucket {
  level: number;
  atMs: number;
}

/**
 * Token buckets, two for each key, in the memory of this process: several processes allow several times the rate.
 *
 * What is larger than a full bucket is let through when the bucket is full, and leaves it in debt; it could never be
 * sent otherwise. Over time the rate holds.
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #defaults: KeyRate;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, defaults: KeyRate) {
    this.#clock = clock;
    this.#defaults = defaults;
  }

  /** Counts a request. @throws Problem `rate_limited` */
  request(caller: RateCaller): void {
    const rate = caller.rate?.requestsPerSecond ?? this.#defaults.requestsPerSecond;
    if (rate !== undefined) refuseIf(this.#wait(caller, 'requests', rate, 1, 1), 'requests', rate);
  }

  /** Looks whether any event would be let through, before a body is read in vain. @throws Problem `rate_limited` */
  expectEvents(caller: RateCaller): void {
    this.#events(caller, 1, 0);
  }

  /** Counts events: all of them or none. @throws Problem `rate_limited` */
  events(caller: RateCaller, count: number): void {
    this.#events(caller, count, count);
  }

  #events(caller: RateCaller, count: number, cost: number): void {
    const rate = caller.rate?.eventsPerSecond ?? this.#defaults.eventsPerSecond;
    if (rate !== undefined) refuseIf(this.#wait(caller, 'events', rate, count, cost), 'events', rate);
  }

  /** @returns seconds until it would be let through; 0 when it was, and is paid for */
  #wait({ tenant, keyId }: RateCaller, of: string, rate: number, count: number, cost: number): number {
    const bucket = this.#bucket(`${of} ${tenant} ${keyId}`, rate);
    const needed = Math.min(count, rate * BURST_SECONDS);
    const short = needed - bucket.level;
    // Sums of fractions are not exact; who waited as long as we said must not be told to wait again.
    if (short > 1e-6) return short / rate;
    bucket.level -= cost;
    return 0;
  }

  #bucket(name: string, rate: number): Bucket {
    const nowMs = this.#clock.monotonicMs();
    const full = rate * BURST_SECONDS;
    const bucket = this.#buckets.get(name) ?? { level: full, atMs: nowMs };
    // A clock that was set back gives nothing, and takes nothing.
    bucket.level = Math.min(full, bucket.level + ((nowMs - bucket.atMs) / 1000) * rate);
    bucket.atMs = nowMs;
    // The order of a Map is that of insertion: the first is the one that was used longest ago.
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    if (this.#buckets.size > BUCKETS_MAX) this.#buckets.delete(this.#buckets.keys().next().value as string);
    return bucket;
  }
}

function refuseIf(seconds: number, of: 'events' | 'requests', rate: number): void {
  if (seconds === 0) return;
  const retryAfter = Math.max(1, Math.ceil(seconds));
  throw new Problem(
    'rate_limited',
    `This key may send ${rate} ${of} a second. Nothing of this request was accepted; send it again in ${retryAfter} s.`,
    { limit: `${of}_per_second`, rate },
    { 'retry-after': String(retryAfter) },
  );
}
