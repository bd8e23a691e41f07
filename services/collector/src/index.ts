import type { AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import type { CollectorDeps } from './accept.ts';
import { importCloudTrail } from './import-cloudtrail.ts';
import { postEvents } from './post-events.ts';
import { postHeartbeats } from './post-heartbeats.ts';
import { postReplay, type ReplayDeps } from './post-replay.ts';

export type { CollectorDeps } from './accept.ts';
export { BodyBudget } from './body-budget.ts';
export { CollectorRuns } from './collector-runs.ts';
export type { EventSink, Recording, RecordResult } from './event-sink.ts';
export { KafkaBuffer } from './kafka-buffer.ts';
export { KafkaConsumer } from './kafka-consumer.ts';
export { tenantFinder } from './kafka-tenant.ts';
export { NotRecorded } from './not-recorded.ts';
export type { ReplayDeps } from './post-replay.ts';
export { QuarantineBounds } from './quarantine-bounds.ts';
export { Recorder, type RecorderState } from './recorder.ts';

/** The routes over which events come in. */
export function collectorRoutes(deps: CollectorDeps & ReplayDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().route('/', postEvents(deps)).route('/', importCloudTrail(deps)).route('/', postReplay(deps)).route('/', postHeartbeats(deps));
}
