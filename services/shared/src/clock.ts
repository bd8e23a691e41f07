import { setTimeout as delay } from 'node:timers/promises';

/** Time, as a service sees it. Injected, so that tests can hold it still. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number;
  /** Microseconds since the Unix epoch. */
  nowMicros(): bigint;
  sleep(ms: number): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  nowMicros: () => BigInt(Math.floor((performance.timeOrigin + performance.now()) * 1000)),
  sleep: (ms) => delay(ms),
};
