import type { Params, QueryStats, Store } from '../store.ts';
import { filterConditions, type Filters } from './filters.ts';
import { STORED_EVENT_COLUMNS, StoredEvent } from './stored-event.ts';

export type Order = 'asc' | 'desc';

export interface EventWindow {
  /** Nanoseconds since the Unix epoch; the window is half open, [from, to). */
  readonly fromNs: bigint;
  readonly toNs: bigint;
}

export interface ListEvents extends EventWindow {
  readonly tenant: string;
  readonly filters: Filters;
  readonly order: Order;
  /** 1 … 1000 */
  readonly limit: number;
  readonly after?: Position | undefined;
}

/**
 * Where a page ended. Rows are ordered by (time, agent_id, event_id); rows that agree in all three form a
 * group: copies of one event, or conflicts. `taken` counts the rows of the last group that were passed,
 * in the order in which they were recorded, so that a page may end inside a group.
 */
export interface Position {
  readonly timeNs: bigint;
  readonly agentId: string;
  readonly eventId: string;
  readonly taken: number;
}

export interface EventPage {
  readonly events: StoredEvent[];
  /** Where the next page starts; undefined when this was the last. */
  readonly next: Position | undefined;
  readonly stats: QueryStats;
}

/** One page of events by event time. Copies of an event are shown once; conflicts are all shown. */
export async function listEvents(store: Store, query: ListEvents): Promise<EventPage> {
  const { sql, params, rowLimit } = listEventsSql(query);
  const { rows, stats } = await store.selectWithStats(sql, params, StoredEvent, {
    // Reads the wide columns only of the rows that the page shows.
    query_plan_max_limit_for_lazy_materialization: '10000',
  });
  return { ...cutPage(rows, query, rowLimit), stats };
}

/** @internal for the benchmark and for EXPLAIN */
export function listEventsSql(query: ListEvents): { sql: string; params: Params; rowLimit: number } {
  const { conditions, params } = filterConditions(query.filters);
  const direction = query.order === 'asc' ? 'ASC' : 'DESC';
  const bound: Record<string, Params[string]> = { ...params, tenant: query.tenant, from_ns: query.fromNs, to_ns: query.toNs };
  conditions.unshift(
    'tenant = {tenant: String}',
    'time >= fromUnixTimestamp64Nano({from_ns: Int64})',
    'time < fromUnixTimestamp64Nano({to_ns: Int64})',
  );
  if (query.after !== undefined) {
    const [beyond, at] = query.order === 'asc' ? ['>', '>='] : ['<', '<='];
    const time = 'fromUnixTimestamp64Nano({after_ns: Int64})';
    conditions.push(
      // The first half is what the primary key can use; the second makes it exact.
      `time ${at} ${time}`,
      `(time ${beyond} ${time} OR (agent_id, event_id) ${at} ({after_agent: String}, {after_event: String}))`,
    );
    Object.assign(bound, { after_ns: query.after.timeNs, after_agent: query.after.agentId, after_event: query.after.eventId });
  }
  const rowLimit = query.limit + 1 + (query.after?.taken ?? 0);
  const byAgent = onlyAgent(query.filters) ? '' : `agent_id ${direction}, `;
  return {
    sql: `
  SELECT ${STORED_EVENT_COLUMNS}
  FROM events
  WHERE ${conditions.join('\n    AND ')}
  ORDER BY time ${direction}, ${byAgent}event_id ${direction}, received_at, collector_id, log_index
  LIMIT {row_limit: UInt32}`,
    params: { ...bound, row_limit: rowLimit },
    rowLimit,
  };
}

/** With one agent only, leaving it out of ORDER BY lets ClickHouse read in the order of the primary key. */
function onlyAgent(filters: Filters): boolean {
  return filters.agent_id?.any.length === 1;
}

function cutPage(rows: StoredEvent[], query: ListEvents, rowLimit: number): { events: StoredEvent[]; next: Position | undefined } {
  const events: StoredEvent[] = [];
  let next: Position | undefined;
  for (const group of groups(rows)) {
    const first = group[0] as StoredEvent;
    const resumed = query.after !== undefined && sameKey(first, query.after);
    const shown = new Set<string>();
    let taken = 0;
    for (const row of group) {
      taken++;
      const copy = shown.has(row.raw);
      shown.add(row.raw);
      if (copy || (resumed && taken <= (query.after?.taken ?? 0))) continue;
      if (events.length === query.limit) return { events, next };
      events.push(row);
      next = { timeNs: row.time_ns, agentId: row.agent_id, eventId: row.event_id, taken };
    }
    // Copies at the end of a group are passed with it.
    next = { timeNs: first.time_ns, agentId: first.agent_id, eventId: first.event_id, taken };
  }
  return { events, next: rows.length < rowLimit ? undefined : next };
}

/** Adjacent rows with the same key; within a group the query has put them in the order of recording. */
function* groups(rows: StoredEvent[]): Generator<StoredEvent[]> {
  let group: StoredEvent[] = [];
  for (const row of rows) {
    const first = group[0];
    if (first !== undefined && !(first.time_ns === row.time_ns && first.agent_id === row.agent_id && first.event_id === row.event_id)) {
      yield group;
      group = [];
    }
    group.push(row);
  }
  if (group.length > 0) yield group;
}

function sameKey(row: StoredEvent, position: Position): boolean {
  return row.time_ns === position.timeNs && row.agent_id === position.agentId && row.event_id === position.eventId;
}
