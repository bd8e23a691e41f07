import { requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import { accept, type CollectorDeps } from './accept.ts';
import { readEvents } from './intake.ts';
import { readBody } from './read-body.ts';

/** `POST /v1/events`: one event, an array, NDJSON, or CloudEvents. */
export function postEvents(deps: CollectorDeps): Hono<AuthEnv> {
  const limits = { eventBytes: deps.config.MAX_EVENT_BYTES, nesting: deps.config.MAX_NESTING };
  return new Hono<AuthEnv>().post('/v1/events', requireScope(deps.keys, 'events:write'), async (c) => {
    const body = await readBody(c, deps.config.MAX_BODY_BYTES);
    return accept(deps, c.get('caller'), body, c.req.header('prefer'), (tape) => readEvents(body.bytes, c.req.header('content-type'), limits, tape));
  });
}
