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
  const rowLimit = query.limit + 1 + (query.after?.taken ?? 0);
  const rows: StoredEvent[] = [];
  const stats = { rows_read: 0, bytes_read: 0 };
  const settings = onlyAgent(query.filters) === undefined ? PAGE_SETTINGS : { ...PAGE_SETTINGS, ...SORTED_BY_AGENT };
  for (const slice of slices(query)) {
    const { sql, params } = listEventsSql(query, slice, rowLimit - rows.length);
    const answer = await store.selectWithStats(sql, params, StoredEvent, settings);
    rows.push(...answer.rows);
    stats.rows_read += answer.stats.rows_read;
    stats.bytes_read += answer.stats.bytes_read;
    if (rows.length === rowLimit) break;
  }
  return { ...cutPage(rows, query, rowLimit), stats };
}

const PAGE_SETTINGS = {
  // Reads the wide columns only of the rows that the page shows.
  query_plan_max_limit_for_lazy_materialization: '10000',
  // No projection lists events; to find that out costs more than to say it.
  optimize_use_projections: 0,
} as const;

/** With the agents given, the primary key finds a window; the index on time would only repeat it. */
export const SORTED_BY_AGENT = { use_skip_indexes: 0 } as const;

const FIRST_SLICE_NS = 64n * 86_400_000_000_000n;
const SLICE_GROWTH = 8n;

/**
 * The window cut into slices of growing length, from the end where the page begins. Reading in order takes a granule
 * of every part whose time overlaps, and a long window overlaps them all; a page is mostly found in the first
 * slice. Slices are apart in time, so one after the other they give what the whole would have given.
 */
export function* slices({ fromNs, toNs, order, after }: Pick<ListEvents, 'fromNs' | 'toNs' | 'order' | 'after'>): Generator<EventWindow> {
  let length = FIRST_SLICE_NS;
  if (order === 'asc') {
    for (let begin = after?.timeNs ?? fromNs; begin < toNs; begin += length, length *= SLICE_GROWTH) {
      yield { fromNs: begin, toNs: min(begin + length, toNs) };
    }
  } else {
    for (let end = after === undefined ? toNs : after.timeNs + 1n; end > fromNs; end -= length, length *= SLICE_GROWTH) {
      yield { fromNs: max(end - length, fromNs), toNs: end };
    }
  }
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** @internal for EXPLAIN in tests */
export function listEventsSql(query: ListEvents, slice: EventWindow = query, rowLimit: number = query.limit + 1): { sql: string; params: Params } {
  const agentId = onlyAgent(query.filters);
  const { conditions, params } = filterConditions(agentId === undefined ? query.filters : { ...query.filters, agent_id: { any: [], none: query.filters.agent_id?.none ?? [] } });
  const direction = query.order === 'asc' ? 'ASC' : 'DESC';
  const bound: Record<string, Params[string]> = { ...params, tenant: query.tenant, from_ns: slice.fromNs, to_ns: slice.toNs, row_limit: rowLimit };
  conditions.unshift(
    'tenant = {tenant: String}',
    'time >= fromUnixTimestamp64Nano({from_ns: Int64})',
    'time < fromUnixTimestamp64Nano({to_ns: Int64})',
  );
  if (agentId !== undefined) {
    // With `=` the agent is one fixed value and rows are read in the order of the primary key; with `IN` they are sorted.
    conditions.push('agent_id = {agent: String}');
    bound['agent'] = agentId;
  }
  if (query.after !== undefined) {
    // That no time before the position is read is what the slices see to.
    const at = query.order === 'asc' ? '>=' : '<=';
    conditions.push(`(time != fromUnixTimestamp64Nano({after_ns: Int64}) OR (agent_id, event_id) ${at} ({after_agent: String}, {after_event: String}))`);
    Object.assign(bound, { after_ns: query.after.timeNs, after_agent: query.after.agentId, after_event: query.after.eventId });
  }
  const byAgent = agentId !== undefined ? '' : `agent_id ${direction}, `;
  return {
    sql: `
  SELECT ${STORED_EVENT_COLUMNS}
  FROM events
  WHERE ${conditions.join('\n    AND ')}
  ORDER BY time ${direction}, ${byAgent}event_id ${direction}, received_at, collector_id, log_index
  LIMIT {row_limit: UInt32}`,
    params: bound,
  };
}

function onlyAgent(filters: Filters): string | undefined {
  return filters.agent_id?.any.length === 1 ? filters.agent_id.any[0] : undefined;
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
