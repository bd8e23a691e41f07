import { z } from 'zod';
import type { Store } from './store.ts';

/** How old the knowledge that there is nothing may be: what another process writes shows after that. */
const FRESH_MS = 5_000;

const Row = z.object({ n: z.coerce.number() });

/**
 * Whether something is in the database that most services never have, and that stays once it is there. Who has none of
 * it then pays nothing for asking about it with every page.
 */
export class OnceThere {
  readonly #sql: string;
  /** Per store: `Infinity` once it is there; else when it was not. */
  readonly #lookedAt = new WeakMap<Store, number>();

  /** @param sql SELECT of a number `n`, above 0 when it is there */
  constructor(sql: string) {
    this.#sql = sql;
  }

  async is(store: Store): Promise<boolean> {
    const looked = this.#lookedAt.get(store) ?? -Infinity;
    if (looked === Infinity) return true;
    const now = performance.now();
    if (now - looked < FRESH_MS) return false;
    const [row] = await store.select(this.#sql, {}, Row);
    if ((row?.n ?? 0) > 0) this.note(store);
    // Unless it came while we looked.
    else if (this.#lookedAt.get(store) !== Infinity) this.#lookedAt.set(store, now);
    return this.#lookedAt.get(store) === Infinity;
  }

  /** To be called before it is written, so that this process knows at once. */
  note(store: Store): void {
    this.#lookedAt.set(store, Infinity);
  }
}
