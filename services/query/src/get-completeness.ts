import { completeness } from '@agent-audit/queries';
import { FILTERS } from '@agent-audit/schemas';
import { requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import { completenessAnswer } from './completeness-answer.ts';
import type { QueryDeps } from './deps.ts';
import { agentsOf } from './event-list.ts';
import { readQuery } from './parameters.ts';

/** `GET /v1/completeness`: what is known to be missing from a window, as every list says it of its own. */
export function getCompleteness(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get('/v1/completeness', requireScope(deps.keys, 'events:read'), async (c) => {
    const { query } = readQuery(c, deps.clock, { whole: true, without: FILTERS.filter((name) => name !== 'agent_id') });
    const asOfUs = deps.clock.nowMicros();
    await deps.settled();
    const known = await completeness(deps.store, c.get('caller').tenant, { fromNs: query.from, toNs: query.to }, agentsOf(query), asOfUs);
    return c.json(completenessAnswer(known, asOfUs));
  });
}
