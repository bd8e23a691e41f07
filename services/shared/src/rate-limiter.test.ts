import { describe, expect, it } from 'vitest';
import { systemClock, type Clock } from './clock.ts';
import { Problem } from './problem.ts';
import { RateLimiter, UNLIMITED, type KeyRate } from './rate-limiter.ts';

/** Stands still until it is moved. */
class HeldClock implements Clock {
  ms = 1_000_000;
  readonly nowMicros = systemClock.nowMicros;
  readonly sleep = systemClock.sleep;

  monotonicMs(): number {
    return this.ms;
  }
}

const key = { tenant: 't', keyId: 'k' };

function newLimiter(rate: Partial<KeyRate>): { limiter: RateLimiter; clock: HeldClock } {
  const clock = new HeldClock();
  return { limiter: new RateLimiter(clock, { ...UNLIMITED, ...rate }), clock };
}

/** Seconds to wait, as the answer says; 0 when it was let through. */
function wait(run: () => void): number {
  try {
    run();
    return 0;
  } catch (error) {
    expect(error).toBeInstanceOf(Problem);
    expect(error).toMatchObject({ code: 'rate_limited', status: 429 });
    const { headers } = error as Problem;
    expect(headers['retry-after']).toMatch(/^[1-9]\d*$/);
    return Number(headers['retry-after']);
  }
}

describe('requests', () => {
  it('five seconds of them at once, then at their rate', () => {
    const { limiter, clock } = newLimiter({ requestsPerSecond: 2 });
    for (let i = 0; i < 10; i++) expect(wait(() => limiter.request(key))).toBe(0);
    expect(wait(() => limiter.request(key))).toBe(1);
    clock.ms += 499;
    expect(wait(() => limiter.request(key))).toBe(1);
    clock.ms += 1;
    expect(wait(() => limiter.request(key))).toBe(0);
    clock.ms += 3_600_000;
    for (let i = 0; i < 10; i++) expect(wait(() => limiter.request(key))).toBe(0);
    expect(wait(() => limiter.request(key))).toBe(1);
  });

  it('of each key by itself', () => {
    const { limiter } = newLimiter({ requestsPerSecond: 1 });
    for (const caller of [key, { ...key, keyId: 'other' }, { ...key, tenant: 'other' }]) for (let i = 0; i < 5; i++) expect(wait(() => limiter.request(caller))).toBe(0);
    expect(wait(() => limiter.request(key))).toBe(1);
  });

  it('are not limited unless that is asked for', () => {
    const { limiter } = newLimiter({});
    for (let i = 0; i < 1000; i++) limiter.request(key);
    limiter.events(key, 1e9);
  });
});

describe('events', () => {
  it('are paid for all together or not at all', () => {
    const { limiter, clock } = newLimiter({ eventsPerSecond: 10 });
    limiter.events(key, 45);
    expect(wait(() => limiter.events(key, 6))).toBe(1);
    limiter.events(key, 5);
    expect(wait(() => limiter.events(key, 25))).toBe(3);
    clock.ms += 2_500;
    limiter.events(key, 25);
  });

  it('more than a bucket holds are let through when it is full, and are paid for afterwards', () => {
    const { limiter, clock } = newLimiter({ eventsPerSecond: 10 });
    limiter.events(key, 1000);
    // 950 in debt, and 50 to be full again.
    expect(wait(() => limiter.events(key, 1000))).toBe(100);
    expect(wait(() => limiter.expectEvents(key))).toBe(96);
    clock.ms += 95_000;
    expect(wait(() => limiter.expectEvents(key))).toBe(1);
    clock.ms += 100;
    expect(wait(() => limiter.events(key, 1))).toBe(0);
    clock.ms += 5_000;
    limiter.events(key, 1000);
  });

  it('expecting them costs nothing', () => {
    const { limiter } = newLimiter({ eventsPerSecond: 1 });
    for (let i = 0; i < 100; i++) limiter.expectEvents(key);
    limiter.events(key, 5);
    expect(wait(() => limiter.expectEvents(key))).toBe(1);
  });

  it.each([1, 3, 7, 10, 333, 999_983])('whoever waits as long as was said is let through, at %i a second', (rate) => {
    const { limiter, clock } = newLimiter({ eventsPerSecond: rate });
    for (let i = 1; i < 200; i++) {
      const seconds = wait(() => limiter.events(key, i * 7));
      clock.ms += seconds * 1000;
      if (seconds > 0) expect(wait(() => limiter.events(key, i * 7)), `${i}`).toBe(0);
    }
  });
});

it('a key may have rates of its own, one or both', () => {
  const { limiter } = newLimiter({ eventsPerSecond: 1, requestsPerSecond: 1 });
  const fast = { ...key, rate: { eventsPerSecond: 1000, requestsPerSecond: undefined } };
  limiter.events(fast, 5000);
  expect(wait(() => limiter.events(fast, 1000))).toBe(1);
  for (let i = 0; i < 5; i++) limiter.request(fast);
  expect(wait(() => limiter.request(fast))).toBe(1);
});

it('forgets the keys that were used longest ago, so that memory is bounded', () => {
  const { limiter } = newLimiter({ requestsPerSecond: 1 });
  const used = (keyId: string): void => limiter.request({ tenant: 't', keyId });
  for (let i = 0; i < 5; i++) for (const id of ['early', 'often']) used(id);
  for (let i = 0; i < 20_000; i++) {
    used(`key-${i}`);
    if (i % 1000 === 0) wait(() => used('often'));
  }
  expect(wait(() => used('often'))).toBe(1);
  expect(wait(() => used('early'))).toBe(0);
});
