import { setTimeout as delay } from 'node:timers/promises';

/** Time, as a service sees it. Injected, so that tests can hold it still. */
export interface Clock {
  /** Microseconds since the Unix epoch, by the machine's clock: it may be wrong, and it may be set. */
  nowMicros(): bigint;
  /** Milliseconds since some moment of the past, for intervals: setting the machine's clock does not change them. */
  monotonicMs(): number;
  sleep(ms: number): Promise<void>;
}

/** `Date.now()` counts whole milliseconds; the fraction is taken from the monotonic clock until both are further apart than this. */
const APART_MS_MAX = 10;

let epochMs = performance.timeOrigin;

export const systemClock: Clock = {
  nowMicros: () => {
    const monotonic = performance.now();
    const wall = Date.now();
    // The clock was set, or the machine slept: only the wall clock knows of either.
    if (Math.abs(epochMs + monotonic - wall) > APART_MS_MAX) epochMs = wall - monotonic;
    return BigInt(Math.floor((epochMs + monotonic) * 1000));
  },
  monotonicMs: () => performance.now(),
  sleep: (ms) => delay(ms),
};
