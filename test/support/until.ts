import { setTimeout as sleep } from 'node:timers/promises';

/** Asks every 20 ms until the answer is good; the error of a miss says what was asked last. */
export async function until<T>(ask: () => Promise<T> | T, good: (answer: T) => boolean, limitMs = 10_000): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (good(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(answer)?.slice(0, 500)} after ${limitMs} ms`);
    await sleep(20);
  }
}

/** As `until`, but after the limit the last answer is given, good or not. An error of a single question counts as no answer yet. */
export async function untilOr<T>(ask: () => Promise<T>, good: (answer: T) => boolean, limitMs: number): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const late = Date.now() > deadline;
    const answer = late ? await ask() : await ask().catch(() => undefined);
    if (answer !== undefined && (late || good(answer))) return answer;
    await sleep(100);
  }
}

/** Waits for something, but not for ever. */
export async function inTime<T>(promise: Promise<T>, what: string, limitMs: number): Promise<T> {
  const { promise: never, reject } = Promise.withResolvers<never>();
  const limit = setTimeout(() => reject(new Error(`waited ${limitMs} ms for ${what}`)), limitMs);
  try {
    return await Promise.race([promise, never]);
  } finally {
    clearTimeout(limit);
  }
}
