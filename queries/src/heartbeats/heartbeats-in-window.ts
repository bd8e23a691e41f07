import { z } from 'zod';
import type { EventWindow } from '../events/list-events.ts';
import type { Store } from '../store.ts';
import { anyHeartbeats, NEVER_DUE_US, NO_NUMBER, SLOT_US } from './put-heartbeats.ts';

/** Who fell silent this long before a window is still told of in it. */
const REMEMBERED_US = 86_400_000_000n;

/*
 * Up to now: a number that was announced after the window's end may have been used inside. What is in the same ten
 * minutes is not told apart, so a window's first and last ten minutes count whole.
 */
const SQL = `
  SELECT emitter, instance, toUnixTimestamp64Micro(max(latest)) AS last_at_us, toUnixTimestamp64Micro(argMax(due, latest)) AS due_at_us,
         min(low) AS lowest, max(high) AS end, minIf(low, inside) AS lowest_inside, maxIf(high, inside) AS end_inside, maxIf(high, begun) AS end_begun,
         toBool(max(inside)) AS is_inside, toBool(max(begun)) AS has_begun, groupUniqArrayIf(agent_id, begun) AS agents
  FROM (
    SELECT emitter, instance, agent_id, min(first_at) AS earliest, max(last_at) AS latest, max(due_at) AS due, min(lowest) AS low, max(end) AS high,
           earliest < fromUnixTimestamp64Micro({to_us: Int64}) AS begun, begun AND latest >= fromUnixTimestamp64Micro({from_us: Int64}) AS inside
    FROM heartbeats
    WHERE tenant = {tenant: String} AND slot >= {first_slot: UInt32}
    GROUP BY slot, emitter, instance, agent_id, promised)
  GROUP BY emitter, instance
  ORDER BY emitter, instance`;

const Row = z.object({
  emitter: z.string(),
  instance: z.string(),
  last_at_us: z.coerce.bigint(),
  due_at_us: z.coerce.bigint(),
  lowest: z.coerce.number(),
  end: z.coerce.number(),
  lowest_inside: z.coerce.number(),
  end_inside: z.coerce.number(),
  end_begun: z.coerce.number(),
  is_inside: z.boolean(),
  has_begun: z.boolean(),
  agents: z.array(z.string()),
});

/** What an instance of an emitter said of itself in the window, in the day before, or later. */
export interface EmitterHeartbeats {
  readonly emitter: string;
  readonly instance: string;
  readonly lastAtUs: bigint;
  /** When another was promised to have come by; undefined where the last one promised none. */
  readonly dueAtUs: bigint | undefined;
  /** The lowest and the highest number that it said was its last; undefined where it said none. */
  readonly announced: readonly [number, number] | undefined;
  /** The same of the window alone; where it said nothing there, the highest from before. */
  readonly announcedInside: readonly [number, number] | undefined;
  /** Whether the window is to tell of it: it was heard there, or promised before to be. */
  readonly inside: boolean;
  /** Agents for which it spoke by the end of the window. */
  readonly agents: readonly string[];
}

/** What the emitters of a tenant said of themselves, from a day before the window on. */
export async function heartbeatsFrom(store: Store, tenant: string, { fromNs, toNs }: EventWindow): Promise<EmitterHeartbeats[]> {
  if (!(await anyHeartbeats.is(store))) return [];
  // None is kept from before 1970.
  const fromUs = max(fromNs / 1000n, 0n);
  const toUs = max((toNs + 999n) / 1000n, 0n);
  const rows = await store.select(SQL, { tenant, from_us: fromUs, to_us: toUs, first_slot: max(fromUs - REMEMBERED_US, 0n) / SLOT_US }, Row);
  return rows.map((row) => {
    const dueAtUs = row.due_at_us >= NEVER_DUE_US ? undefined : row.due_at_us;
    return {
      emitter: row.emitter, instance: row.instance, lastAtUs: row.last_at_us, dueAtUs, agents: row.agents,
      announced: rangeOf(row.lowest, row.end),
      announcedInside: row.is_inside ? rangeOf(row.lowest_inside, row.end_inside) : rangeOf(row.end_begun - 1, row.end_begun),
      inside: row.is_inside || (row.has_begun && dueAtUs !== undefined),
    };
  });
}

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const rangeOf = (lowest: number, end: number): [number, number] | undefined => (lowest >= NO_NUMBER || end === 0 ? undefined : [lowest, end - 1]);
