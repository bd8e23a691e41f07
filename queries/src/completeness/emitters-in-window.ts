import { z } from 'zod';
import { SORTED_BY_AGENT, type EventWindow } from '../events/list-events.ts';
import { StoreError } from '../store-error.ts';
import type { Store } from '../store.ts';
import { INSTANCE } from './instance.ts';

const AGENT = 'AND agent_id IN {agent_ids: Array(String)}';
const HOUR_NS = 3_600_000_000_000n;
/** Hours since 1900, when the first event may have happened. The sum wraps around as unsigned integers do, and is right. */
const HOUR = 'intDiv(toUInt64(toUnixTimestamp64Nano(time)) + 2208988800000000000, 3600000000000)';
const HOURS_BEFORE_1970 = 613_608n;

const COUNTS = 'toInt64(count()) AS events, min(toUnixTimestamp64Nano(time)) AS started, min(sequence) AS first, max(sequence) AS last, toInt64(countIf(bitTest(flags, 0))) AS late, toInt64(countIf(bitTest(flags, 2))) AS conflicts';

/**
 * What must not be counted: copies that two collectors recorded at the same moment, found afterwards. Conflicts that
 * were found so are counted in addition.
 */
const MARKED = (agents: boolean) => `
    SELECT emitter, instance, has_sequence, -toInt64(countIf(mark = 'copy')), 9223372036854775807, bitNot(toUInt64(0)), toUInt64(0), -toInt64(countIf(mark = 'copy' AND bitTest(flags, 0))),
           toInt64(countIf(mark = 'conflict' AND NOT bitTest(flags, 2))) - toInt64(countIf(mark = 'copy' AND bitTest(flags, 2)))
    FROM (
      SELECT DISTINCT emitter, instance, has_sequence, event_id, collector_id, log_index, mark, flags
      FROM event_marks
      WHERE tenant = {tenant: String} ${agents ? AGENT : ''}
        AND time >= fromUnixTimestamp64Nano({from_ns: Int64}) AND time < fromUnixTimestamp64Nano({to_ns: Int64}))
    GROUP BY emitter, instance, has_sequence`;
const TOTALS = 'SELECT emitter, instance, has_sequence, sum(events) AS events, min(started) AS started, min(first) AS first, max(last) AS last, sum(late) AS late, sum(conflicts) AS conflicts';

/** A window of few rows is read as it is: planning with a projection takes longer than reading them. */
const byRows = (agents: boolean) => `
  ${TOTALS}
  FROM (
    SELECT emitter, ${INSTANCE} AS instance, has_sequence, ${COUNTS}
    FROM events
    WHERE tenant = {tenant: String} ${agents ? AGENT : ''}
      AND time >= fromUnixTimestamp64Nano({from_ns: Int64}) AND time < fromUnixTimestamp64Nano({to_ns: Int64})
    GROUP BY emitter, instance, has_sequence
    UNION ALL ${MARKED(agents)}
  )
  GROUP BY emitter, instance, has_sequence
  ORDER BY emitter, instance, has_sequence`;
const ROWS_MAX = 131_072;
/** ClickHouse's TOO_MANY_ROWS, told while planning, before anything is read. */
const TOO_MANY_ROWS = 158;

/*
 * Whole hours come from the projection `instance_hours` (a few rows), the two cut hours at the edges from the
 * table itself, so that the answer is exact for any window. The expressions must stay those of the projection.
 */
const byHours = (agents: boolean) => `
  ${TOTALS}
  FROM (
    SELECT emitter, ${INSTANCE} AS instance, has_sequence, ${COUNTS}
    FROM events
    WHERE tenant = {tenant: String} ${agents ? AGENT : ''}
      AND ${HOUR} >= {first_hour: UInt64} AND ${HOUR} < {end_hour: UInt64}
    GROUP BY emitter, instance, has_sequence
    UNION ALL
    SELECT emitter, ${INSTANCE} AS instance, has_sequence, ${COUNTS}
    FROM events
    WHERE tenant = {tenant: String} ${agents ? AGENT : ''}
      AND (time >= fromUnixTimestamp64Nano({from_ns: Int64}) AND time < fromUnixTimestamp64Nano({head_end_ns: Int64})
        OR time >= fromUnixTimestamp64Nano({tail_start_ns: Int64}) AND time < fromUnixTimestamp64Nano({to_ns: Int64}))
    GROUP BY emitter, instance, has_sequence
    UNION ALL ${MARKED(agents)}
  )
  GROUP BY emitter, instance, has_sequence
  ORDER BY emitter, instance, has_sequence`;

const Row = z.object({
  emitter: z.string(),
  instance: z.string(),
  has_sequence: z.boolean(),
  events: z.coerce.number(),
  /** When the first of them happened, nanoseconds since the Unix epoch. */
  started: z.coerce.bigint(),
  first: z.coerce.number(),
  last: z.coerce.number(),
  late: z.coerce.number(),
  conflicts: z.coerce.number(),
});

export type EmitterInWindow = z.infer<typeof Row>;

/**
 * Who emitted the events of a window, each instance by itself, and the first and last sequence number it used there.
 * Events without a sequence are a row of their own (`has_sequence` false; `emitter` may be empty).
 *
 * @param agentIds only events of these agents; all agents when undefined
 */
export async function emittersInWindow(
  store: Store,
  tenant: string,
  window: EventWindow,
  agentIds: readonly string[] | undefined,
): Promise<EmitterInWindow[]> {
  try {
    return await emittersByRows(store, tenant, window, agentIds, ROWS_MAX);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== TOO_MANY_ROWS) throw error;
    return emittersByHours(store, tenant, window, agentIds);
  }
}

/** @throws StoreError TOO_MANY_ROWS when more than `rowsMax` would have to be read */
export function emittersByRows(
  store: Store,
  tenant: string,
  { fromNs, toNs }: EventWindow,
  agentIds: readonly string[] | undefined,
  rowsMax: number,
): Promise<EmitterInWindow[]> {
  const agents = agentIds === undefined ? {} : { agent_ids: agentIds };
  return store.select(byRows(agentIds !== undefined), { tenant, ...agents, from_ns: fromNs, to_ns: toNs }, Row, {
    optimize_use_projections: 0,
    ...(agentIds === undefined ? {} : SORTED_BY_AGENT),
    max_rows_to_read: `${rowsMax}`,
    read_overflow_mode: 'throw',
  });
}

/** The same for windows of any size. */
export function emittersByHours(
  store: Store,
  tenant: string,
  { fromNs, toNs }: EventWindow,
  agentIds: readonly string[] | undefined,
): Promise<EmitterInWindow[]> {
  const firstHour = floorHour(fromNs + HOUR_NS - 1n);
  const endHour = floorHour(toNs);
  // A window inside one hour, or across one full hour at most, has no whole hours: read it all from the table.
  const whole = firstHour < endHour;
  return store.select(
    byHours(agentIds !== undefined),
    {
      tenant,
      ...(agentIds === undefined ? {} : { agent_ids: agentIds }),
      from_ns: fromNs,
      head_end_ns: whole ? firstHour : toNs,
      first_hour: whole ? firstHour / HOUR_NS + HOURS_BEFORE_1970 : 0n,
      end_hour: whole ? endHour / HOUR_NS + HOURS_BEFORE_1970 : 0n,
      tail_start_ns: whole ? endHour : toNs,
      to_ns: toNs,
    },
    Row,
    { preferred_optimize_projection_name: 'instance_hours', optimize_use_implicit_projections: 0 },
  );
}

/** Towards minus infinity, also before 1970. */
function floorHour(ns: bigint): bigint {
  const rest = ((ns % HOUR_NS) + HOUR_NS) % HOUR_NS;
  return ns - rest;
}
