import { requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import { accept, type CollectorDeps } from './accept.ts';
import type { BodyDeps } from './body-budget.ts';
import { readEvents } from './intake.ts';
import { readBody } from './read-body.ts';

/** `POST /v1/events`: one event, an array, NDJSON, or CloudEvents. */
export function postEvents(deps: CollectorDeps & BodyDeps): Hono<AuthEnv> {
  const limits = { eventBytes: deps.config.MAX_EVENT_BYTES, nesting: deps.config.MAX_NESTING };
  return new Hono<AuthEnv>().post('/v1/events', requireScope(deps.keys, 'events:write'), async (c) => {
    deps.keys.rates.expectEvents(c.get('caller'));
    const body = await readBody(c, deps.config.MAX_BODY_BYTES, deps.bodies);
    return accept(deps, c.get('caller'), body, c.req.header('prefer'), (tape) => {
      const rejected = readEvents(body.bytes, c.req.header('content-type'), limits, tape);
      // Here and not before: how many there are is known once they are read, and nothing is kept of them yet.
      deps.keys.rates.events(c.get('caller'), tape.count + rejected.length);
      return rejected;
    });
  });
}
