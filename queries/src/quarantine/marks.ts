import { z } from 'zod';
import type { Store } from '../store.ts';

const SQL = 'SELECT (SELECT count() FROM quarantine_replays) + (SELECT count() FROM quarantine_dropped) AS marks';

const Row = z.object({ marks: z.coerce.number() });

/** How old the knowledge that there are none may be: what another process replays shows after that. */
const FRESH_MS = 5_000;

/** Per store: `Infinity` once there are marks, for they do not go away; else when there were none. */
const lookedAt = new WeakMap<Store, number>();

/**
 * Whether any entry of any tenant was ever replayed or dropped. Most services never do either, and every page of
 * events asks for the count of the quarantine: it then costs what it costs without marks.
 */
export async function hasMarks(store: Store): Promise<boolean> {
  const looked = lookedAt.get(store) ?? -Infinity;
  if (looked === Infinity) return true;
  const now = performance.now();
  if (now - looked < FRESH_MS) return false;
  const [row] = await store.select(SQL, {}, Row);
  if ((row?.marks ?? 0) > 0) noteMarks(store);
  // Unless some were made while we looked.
  else if (lookedAt.get(store) !== Infinity) lookedAt.set(store, now);
  return lookedAt.get(store) === Infinity;
}

/** To be called before marks are written, so that this process counts them at once. */
export function noteMarks(store: Store): void {
  lookedAt.set(store, Infinity);
}
