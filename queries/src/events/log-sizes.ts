import { z } from 'zod';
import type { Store } from '../store.ts';

const SQL = `
  SELECT tenant, max(last) + 1 AS size
  FROM
  (
      SELECT tenant, max(log_index) AS last FROM events WHERE collector_id = {collector_id: String} GROUP BY tenant
      UNION ALL
      SELECT tenant, max(log_index) AS last FROM event_tombstones WHERE collector_id = {collector_id: String} GROUP BY tenant
  )
  GROUP BY tenant`;

const Row = z.object({ tenant: z.string(), size: z.coerce.number() });

/** How many events of each tenant this collector has recorded, erased ones too; the next one's `log_index`. */
export async function logSizes(store: Store, collectorId: string): Promise<Map<string, number>> {
  const rows = await store.select(SQL, { collector_id: collectorId }, Row);
  return new Map(rows.map((row) => [row.tenant, row.size]));
}
