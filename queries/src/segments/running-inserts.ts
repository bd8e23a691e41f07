import { z } from 'zod';
import type { Store } from '../store.ts';

const SQL = `
  SELECT toUInt32(count()) AS running
  FROM system.processes
  WHERE query_kind = 'Insert' AND Settings['log_comment'] = {comment: String}`;

const Row = z.object({ running: z.number() });

/** How many inserts with this comment are under way, whoever began them. */
export async function runningInserts(store: Store, comment: string): Promise<number> {
  return (await store.select(SQL, { comment }, Row))[0]?.running ?? 0;
}
