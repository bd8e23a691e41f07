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
