import { requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import type { QueryDeps } from './deps.ts';
import { answerEventList } from './event-list.ts';
import { questionOf, readQuery } from './parameters.ts';

/** `GET /v1/agents/{agent_id}/timeline`: everything that one agent did in a window. */
export function getTimeline(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get('/v1/agents/:agent_id{.+}/timeline', requireScope(deps.keys, 'events:read'), (c) => {
    const { tenant } = c.get('caller');
    const { query, text } = readQuery(c, deps.clock, { without: ['agent_id'] });
    const ofAgent = { ...query, filters: { ...query.filters, agent_id: { any: [c.req.param('agent_id')], none: [] } } };
    return answerEventList(deps, tenant, ofAgent, questionOf(tenant, 'timeline', ofAgent, text));
  });
}
