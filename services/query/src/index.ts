import type { AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import type { QueryDeps } from './deps.ts';
import { getAgents } from './get-agents.ts';
import { getCompleteness } from './get-completeness.ts';
import { getEvent } from './get-event.ts';
import { getEvents } from './get-events.ts';
import { getProof } from './get-proof.ts';
import { getQuarantine } from './get-quarantine.ts';
import { getTimeline } from './get-timeline.ts';
import { logRoutes } from './log-routes.ts';
import { postErasure } from './post-erasure.ts';

export type { Proofs } from './proofs.ts';
export type { QueryDeps } from './deps.ts';

/** The routes over which the record is read. */
export function queryRoutes(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>()
    .route('/', getTimeline(deps))
    .route('/', getEvents(deps))
    .route('/', getEvent(deps))
    .route('/', getProof(deps))
    .route('/', postErasure(deps))
    .route('/', logRoutes(deps))
    .route('/', getAgents(deps))
    .route('/', getCompleteness(deps))
    .route('/', getQuarantine(deps));
}
