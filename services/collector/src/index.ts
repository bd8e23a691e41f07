import type { AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import type { CollectorDeps } from './accept.ts';
import { importCloudTrail } from './import-cloudtrail.ts';
import { postEvents } from './post-events.ts';
import { postReplay, type ReplayDeps } from './post-replay.ts';

export type { CollectorDeps } from './accept.ts';
export { BodyBudget } from './body-budget.ts';
export type { ReplayDeps } from './post-replay.ts';
export { Quarantine } from './quarantine.ts';
export { QuarantineBounds } from './quarantine-bounds.ts';
export { Recorder } from './recorder.ts';
export type { EventSink, Recording } from './sink.ts';

/** The routes over which events come in. */
export function collectorRoutes(deps: CollectorDeps & ReplayDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().route('/', postEvents(deps)).route('/', importCloudTrail(deps)).route('/', postReplay(deps));
}
