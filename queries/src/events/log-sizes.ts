import { z } from 'zod';
import type { Store } from '../store.ts';

const SQL = `
  SELECT tenant, max(log_index) + 1 AS size
  FROM events
  WHERE collector_id = {collector_id: String}
  GROUP BY tenant`;

const Row = z.object({ tenant: z.string(), size: z.coerce.number() });

/** How many events of each tenant this collector has recorded; the next one's `log_index`. */
export async function logSizes(store: Store, collectorId: string): Promise<Map<string, number>> {
  const rows = await store.select(SQL, { collector_id: collectorId }, Row);
  return new Map(rows.map((row) => [row.tenant, row.size]));
}
