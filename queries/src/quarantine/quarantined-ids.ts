import { z } from 'zod';
import type { Store } from '../store.ts';

const SQL = `
  SELECT quarantine_id
  FROM quarantine
  WHERE collector_id = {collector_id: String}
    AND received_at >= fromUnixTimestamp64Micro({first_us: Int64}) AND received_at <= fromUnixTimestamp64Micro({last_us: Int64})`;

const Row = z.object({ quarantine_id: z.string() });

/**
 * What is in quarantine already of what a collector refused at a time: to reconcile an insert that was never answered.
 *
 * @param firstUs @param lastUs microseconds since the Unix epoch, both included
 */
export async function quarantinedIds(store: Store, collectorId: string, firstUs: number, lastUs: number): Promise<Set<string>> {
  const rows = await store.select(SQL, { collector_id: collectorId, first_us: firstUs, last_us: lastUs }, Row);
  return new Set(rows.map((row) => row.quarantine_id));
}
