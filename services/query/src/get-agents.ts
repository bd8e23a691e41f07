import { listAgents, type AgentRow } from '@agent-audit/queries';
import { formatNanos, type AgentList, type AgentSummary } from '@agent-audit/schemas';
import { decodeCursor, encodeCursor, requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import { z } from 'zod';
import type { QueryDeps } from './deps.ts';
import { readPage } from './parameters.ts';

/** `GET /v1/agents`: who is there, by id. */
export function getAgents(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get('/v1/agents', requireScope(deps.keys, 'events:read'), async (c) => {
    const { tenant } = c.get('caller');
    const page = readPage(c);
    const question = [tenant, 'agents', page.order];
    const after = page.cursor === undefined ? undefined : decodeCursor(question, page.cursor, z.string());
    await deps.settled();
    const rows = await listAgents(deps.store, { tenant, limit: page.limit + 1, order: page.order, after });
    const shown = rows.slice(0, page.limit);
    return c.json({
      agents: shown.map(summary),
      next_cursor: rows.length > page.limit ? encodeCursor(question, shown.at(-1)?.agent_id) : null,
    } satisfies AgentList);
  });
}

function summary(row: AgentRow): AgentSummary {
  return {
    agent_id: row.agent_id,
    name: row.name === '' ? null : row.name,
    first_seen: formatNanos(row.first_seen_ns),
    last_seen: formatNanos(row.last_seen_ns),
    events: row.events,
    tools: row.tools,
    hosts: row.hosts,
    principals: row.principals,
    resource_types: row.resource_types,
  };
}
