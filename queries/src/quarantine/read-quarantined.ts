import { z } from 'zod';
import type { Store } from '../store.ts';
import type { QuarantinedRow } from './list-quarantine.ts';

const SQL = `
  SELECT quarantine_id, base64Encode(raw) AS raw_base64
  FROM quarantine
  WHERE tenant = {tenant: String} AND quarantine_id IN {ids: Array(UUID)}
    AND received_at >= fromUnixTimestamp64Micro({first_us: Int64}) AND received_at <= fromUnixTimestamp64Micro({last_us: Int64})`;

const Row = z.object({ quarantine_id: z.string(), raw_base64: z.string() });

/** The exact bytes of entries, by id, in base64: they need not be UTF-8. All are held in memory: bound them by `bytes`. */
export async function readQuarantined(store: Store, tenant: string, entries: readonly QuarantinedRow[]): Promise<Map<string, string>> {
  const [first] = entries;
  if (first === undefined) return new Map();
  const times = entries.map((entry) => entry.received_at_us);
  const rows = await store.select(
    SQL,
    {
      tenant,
      ids: entries.map((entry) => entry.quarantine_id),
      first_us: times.reduce((a, b) => (a < b ? a : b)),
      last_us: times.reduce((a, b) => (a > b ? a : b)),
    },
    Row,
  );
  return new Map(rows.map((row) => [row.quarantine_id, row.raw_base64]));
}

/** As many entries from the front as have at most `maxBytes` together; at least one, however large. */
export function whileBytesFit(entries: readonly QuarantinedRow[], maxBytes: number): QuarantinedRow[] {
  let bytes = 0;
  const end = entries.findIndex((entry, i) => (bytes += entry.bytes) > maxBytes && i > 0);
  return entries.slice(0, end === -1 ? entries.length : end);
}
