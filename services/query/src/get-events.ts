import { requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import type { QueryDeps } from './deps.ts';
import { answerEventList } from './event-list.ts';
import { questionOf, readQuery } from './parameters.ts';

/** `GET /v1/events`: the events of a window that match every filter. */
export function getEvents(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get('/v1/events', requireScope(deps.keys, 'events:read'), (c) => {
    const { tenant } = c.get('caller');
    const { query, text } = readQuery(c, deps.clock);
    return answerEventList(deps, tenant, query, questionOf(tenant, 'events', query, text));
  });
}
