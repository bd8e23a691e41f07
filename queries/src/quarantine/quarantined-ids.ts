import { z } from 'zod';
import type { Store } from '../store.ts';

const SQL = `
  SELECT DISTINCT quarantine_id
  FROM quarantine
  WHERE quarantine_id IN {ids: Array(UUID)}`;

const Row = z.object({ quarantine_id: z.string() });

/** Ids to a statement; they travel in one parameter, of which ClickHouse takes 128 KiB. */
const IDS_MAX = 2_000;

/** Which of these ids are in quarantine, whoever put them there and whenever. Reads the ids of all of it. */
export async function quarantinedIds(store: Store, ids: readonly string[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (let i = 0; i < ids.length; i += IDS_MAX) {
    for (const row of await store.select(SQL, { ids: ids.slice(i, i + IDS_MAX) }, Row)) found.add(row.quarantine_id);
  }
  return found;
}
