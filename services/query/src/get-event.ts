import { getEvent as findEvent } from '@agent-audit/queries';
import { Problem, requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import type { QueryDeps } from './deps.ts';
import { eventRecordJson, json } from './event-list.ts';
import { proofState } from './proofs.ts';

/**
 * `GET /v1/events/{event_id}`: the event first recorded under an id, with all others recorded under the same
 * id with other bytes as `conflicts`, and what the log says of it.
 */
export function getEvent(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get('/v1/events/:event_id', requireScope(deps.keys, 'events:read'), async (c) => {
    await deps.settled();
    const [first, ...others] = await findEvent(deps.store, c.get('caller').tenant, c.req.param('event_id'));
    if (first === undefined) throw new Problem('not_found', 'No event is recorded under this id.');
    const record = eventRecordJson(deps, first);
    const proof = JSON.stringify(proofState(deps.proofs, first));
    return json(`${record.slice(0, -1)},"proof":${proof},"conflicts":[${others.map((row) => eventRecordJson(deps, row)).join(',')}]}`);
  });
}
