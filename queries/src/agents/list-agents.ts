import { z } from 'zod';
import type { Params, Store } from '../store.ts';

export interface ListAgents {
  readonly tenant: string;
  readonly limit: number;
  /** Names come in order; only those after this one are listed. */
  readonly after?: string | undefined;
  readonly order: 'asc' | 'desc';
}

const Row = z.object({
  agent_id: z.string(),
  name: z.string(),
  first_seen_ns: z.coerce.bigint(),
  last_seen_ns: z.coerce.bigint(),
  events: z.coerce.number(),
  tools: z.array(z.string()),
  hosts: z.array(z.string()),
  principals: z.array(z.string()),
  resource_types: z.array(z.string()),
});

export type AgentRow = z.infer<typeof Row>;

/** At most this many values are listed of each kind; an agent that touched more has a profile for it. */
export const AGENT_VALUES_MAX = 20;

/** The agents of a tenant with what they were seen doing. Counts are of distinct events. */
export function listAgents(store: Store, query: ListAgents): Promise<AgentRow[]> {
  const beyond = query.order === 'asc' ? '>' : '<';
  const params: Record<string, Params[string]> = { tenant: query.tenant, row_limit: query.limit };
  if (query.after !== undefined) params['after'] = query.after;
  const sql = `
  SELECT agent_id,
         argMax(agent_name, time) AS name,
         toUnixTimestamp64Nano(min(time)) AS first_seen_ns,
         toUnixTimestamp64Nano(max(time)) AS last_seen_ns,
         uniqExact(event_id) AS events,
         arraySort(groupUniqArrayIf(${AGENT_VALUES_MAX})(toString(tool_name), tool_name != '')) AS tools,
         arraySort(groupUniqArrayIf(${AGENT_VALUES_MAX})(destination_host, destination_host != '')) AS hosts,
         arraySort(groupUniqArrayArray(${AGENT_VALUES_MAX})(principal_ids)) AS principals,
         arraySort(groupUniqArrayArray(${AGENT_VALUES_MAX})(CAST(resource_types, 'Array(String)'))) AS resource_types
  FROM events
  WHERE tenant = {tenant: String}${query.after === undefined ? '' : ` AND agent_id ${beyond} {after: String}`}
    AND agent_id IN (
      SELECT DISTINCT agent_id FROM events
      WHERE tenant = {tenant: String}${query.after === undefined ? '' : ` AND agent_id ${beyond} {after: String}`}
      ORDER BY agent_id ${query.order === 'asc' ? 'ASC' : 'DESC'}
      LIMIT {row_limit: UInt32})
  GROUP BY agent_id
  ORDER BY agent_id ${query.order === 'asc' ? 'ASC' : 'DESC'}`;
  return store.select(sql, params, Row);
}
