import { putHeartbeats, type Store, type StoredHeartbeat } from '@agent-audit/queries';

/** Rows to an insert. */
const BATCH = 10_000;

interface Waiting {
  readonly heartbeats: readonly StoredHeartbeat[];
  readonly done: PromiseWithResolvers<void>;
}

/**
 * Stores heartbeats. Those that come while an insert is under way go together with the next one: agents may be many and
 * beat often, and each insert is a part on ClickHouse's disk.
 */
export class Heartbeats {
  readonly #store: Store;
  readonly #waiting: Waiting[] = [];
  #working = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Resolves once they are on ClickHouse's disk. @throws StoreError when they may not be: they may be sent again */
  put(heartbeats: readonly StoredHeartbeat[]): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ heartbeats, done });
    if (!this.#working) void this.#work();
    return done.promise;
  }

  async #work(): Promise<void> {
    this.#working = true;
    while (this.#waiting.length > 0) {
      const batch: Waiting[] = [];
      for (let rows = 0; rows < BATCH && this.#waiting.length > 0; ) {
        const next = this.#waiting.shift() as Waiting;
        batch.push(next);
        rows += next.heartbeats.length;
      }
      try {
        await putHeartbeats(this.#store, batch.flatMap(({ heartbeats }) => heartbeats));
        for (const { done } of batch) done.resolve();
      } catch (error) {
        for (const { done } of batch) done.reject(error);
      }
    }
    this.#working = false;
  }
}
