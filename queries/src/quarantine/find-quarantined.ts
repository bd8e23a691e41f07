import type { Store } from '../store.ts';
import { QUARANTINED_COLUMNS, QuarantinedRow } from './list-quarantine.ts';

const SQL = `
  SELECT ${QUARANTINED_COLUMNS}
  FROM quarantine
  WHERE tenant = {tenant: String} AND quarantine_id IN {ids: Array(UUID)}
  ORDER BY received_at, quarantine_id
  LIMIT 1 BY quarantine_id`;

/** The entries with these ids that the tenant has, oldest first, without their bytes. */
export function findQuarantined(store: Store, tenant: string, ids: readonly string[]): Promise<QuarantinedRow[]> {
  return store.select(SQL, { tenant, ids }, QuarantinedRow);
}
