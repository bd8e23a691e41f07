import { z } from 'zod';
import type { Store } from '../store.ts';

const SQL = `
  SELECT event_id, lower(hex(SHA256(raw))) AS sha256
  FROM events
  WHERE tenant = {tenant: String} AND event_id IN {event_ids: Array(String)}`;

const Row = z.object({ event_id: z.string(), sha256: z.string() });

/**
 * Which of these ids are recorded already, and with which bytes.
 *
 * @returns for each id that is there, the SHA-256 (lower-case hex) of every event recorded under it
 */
export async function findRecorded(store: Store, tenant: string, eventIds: readonly string[]): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for (const row of await store.select(SQL, { tenant, event_ids: eventIds }, Row)) {
    const digests = found.get(row.event_id) ?? new Set();
    found.set(row.event_id, digests.add(row.sha256));
  }
  return found;
}
