import { setTimeout as sleep } from 'node:timers/promises';
import { Store } from '@agent-audit/queries';
import { z } from 'zod';
import { ndjsonBodies, postAll } from './posting.ts';
import type { BenchService } from './run-service.ts';

const WARM = 100_000;
const EVENTS = 300_000;

/** The store of a service, to count in. */
export class Counter {
  readonly #store: Store;

  constructor({ engine, database }: BenchService) {
    this.#store = new Store({ url: engine.url, username: engine.username, password: engine.password, database });
  }

  async stored(): Promise<number> {
    return (await this.#store.select('SELECT toUInt32(count()) AS n FROM events', {}, z.object({ n: z.number() })))[0]?.n ?? 0;
  }

  async reach(events: number): Promise<void> {
    while ((await this.stored()) < events) await sleep(10);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

/**
 * Events a second from the first byte until all can be queried; a rate that is acknowledged faster than it is stored
 * would not be one that a service can take for long.
 *
 * @returns and how many events it has put in
 */
export async function highestRate({ url, key }: BenchService, counter: Counter): Promise<{ rate: number; events: number }> {
  await postAll(url, key, ndjsonBodies('warm', WARM));
  await counter.reach(WARM);
  const begin = performance.now();
  await postAll(url, key, ndjsonBodies('full', EVENTS));
  await counter.reach(WARM + EVENTS);
  return { rate: EVENTS / ((performance.now() - begin) / 1000), events: WARM + EVENTS };
}
