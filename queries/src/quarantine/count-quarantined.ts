import { z } from 'zod';
import type { EventWindow } from '../events/list-events.ts';
import type { Store } from '../store.ts';
import { dayOf } from './days.ts';
import { marks } from './marks.ts';

const WINDOW = `tenant = {tenant: String}
    AND received_at >= fromUnixTimestamp64Micro({from_us: Int64}) AND received_at < fromUnixTimestamp64Micro({to_us: Int64})`;

const KEPT = `SELECT toInt64(count()) AS quarantined FROM quarantine WHERE ${WINDOW}`;

const DROPPED = `SELECT toInt64(sum(outstanding)) AS quarantined FROM quarantine_dropped
    WHERE tenant = {tenant: String} AND day >= {from_day: Date} AND day <= {to_day: Date}`;

const OUTSTANDING = `
  SELECT sum(quarantined) AS quarantined FROM (
    ${KEPT}
    UNION ALL
    SELECT -toInt64(uniqExact(quarantine_id)) FROM quarantine_replays WHERE ${WINDOW}
    UNION ALL
    ${DROPPED}
  )`;

const Row = z.object({ quarantined: z.coerce.number() });

/**
 * Refused events received in the window and not replayed; when they happened, nobody can tell. Of those that were
 * dropped from quarantine only the day of receipt is known: a window that touches the day counts them all.
 */
export async function countQuarantined(store: Store, tenant: string, window: EventWindow): Promise<number> {
  const rows = await store.select((await marks.is(store)) ? OUTSTANDING : KEPT, paramsOf(tenant, window), Row);
  // A day's entries and their marks go one after the other; a count in between must not be negative.
  return Math.max(0, rows[0]?.quarantined ?? 0);
}

/** Of those, the ones that are counted but no longer kept. */
export async function countDropped(store: Store, tenant: string, window: EventWindow): Promise<number> {
  const rows = await store.select(DROPPED, paramsOf(tenant, window), Row);
  return rows[0]?.quarantined ?? 0;
}

/** Rounded outwards: a microsecond or a day more can only warn of something that is there. */
function paramsOf(tenant: string, { fromNs, toNs }: EventWindow): Record<string, string | bigint> {
  const fromUs = floorDiv(fromNs, 1000n);
  const toUs = floorDiv(toNs + 999n, 1000n);
  return { tenant, from_us: fromUs, to_us: toUs, from_day: dayOf(fromUs), to_day: dayOf(toUs - 1n) };
}

function floorDiv(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}
