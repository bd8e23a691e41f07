import { z } from 'zod';
import type { EventWindow } from '../events/list-events.ts';
import type { Store } from '../store.ts';

const SQL = `
  SELECT count() AS quarantined
  FROM quarantine
  WHERE tenant = {tenant: String}
    AND received_at >= fromUnixTimestamp64Micro({from_us: Int64}) AND received_at < fromUnixTimestamp64Micro({to_us: Int64})`;

const Row = z.object({ quarantined: z.coerce.number() });

/** Refused events received in the window; when they happened, nobody can tell. */
export async function countQuarantined(store: Store, tenant: string, { fromNs, toNs }: EventWindow): Promise<number> {
  // Rounded outwards: a microsecond more can only warn of something that is there.
  const rows = await store.select(SQL, { tenant, from_us: floorDiv(fromNs, 1000n), to_us: floorDiv(toNs + 999n, 1000n) }, Row);
  return rows[0]?.quarantined ?? 0;
}

function floorDiv(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}
