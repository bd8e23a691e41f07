import type { Store, StoredHeartbeat } from '@agent-audit/queries';
import { bomLength, explainIssues, Heartbeat, HEARTBEATS_MAX, parseTime, scanEvent, toNanos, type FieldError, type HeartbeatAnswer } from '@agent-audit/schemas';
import { invalidParameter, Problem, requireScope, type AuthEnv, type Clock, type KeyRing } from '@agent-audit/shared';
import { Hono } from 'hono';
import type { BodyDeps } from './body-budget.ts';
import { Heartbeats } from './heartbeats.ts';
import { malformed, mediaType } from './intake.ts';
import { readBody } from './read-body.ts';

export interface HeartbeatDeps extends BodyDeps {
  readonly store: Store;
  readonly keys: KeyRing;
  readonly clock: Clock;
}

/** Of a body, in bytes: room for as many heartbeats as it may hold. */
const BODY_BYTES = 4 * 1024 * 1024;
/** An array of flat objects. */
const NESTING = 2;

/**
 * `POST /v1/heartbeats`: emitters say that they are alive, and how far they have counted. 202 when at least one is stored,
 * 422 when all were rejected. They go to ClickHouse at once: without it the answer is 503, and nothing is kept.
 */
export function postHeartbeats(deps: HeartbeatDeps): Hono<AuthEnv> {
  const heartbeats = new Heartbeats(deps.store);
  return new Hono<AuthEnv>().post('/v1/heartbeats', requireScope(deps.keys, 'events:write'), async (c) => {
    const type = mediaType(c.req.header('content-type'));
    if (type !== 'application/json') throw new Problem('unsupported_media_type', 'Heartbeats are one JSON object or an array of them; send application/json.');
    const body = await readBody(c, BODY_BYTES, deps.bodies);
    const given = ((): unknown[] => {
      try {
        return readList(body.bytes);
      } finally {
        body.release();
      }
    })();
    const { tenant } = c.get('caller');
    const nowUs = deps.clock.nowMicros();
    const accepted: StoredHeartbeat[] = [];
    const rejected: HeartbeatAnswer['rejected'] = [];
    for (const [index, value] of given.entries()) {
      const read = readHeartbeat(value, tenant, nowUs);
      if ('errors' in read) rejected.push({ index, errors: read.errors });
      else accepted.push(read);
    }
    if (accepted.length > 0) await heartbeats.put(accepted);
    return c.json({ accepted: accepted.length, rejected } satisfies HeartbeatAnswer, accepted.length > 0 ? 202 : 422);
  });
}

function readList(body: Buffer): unknown[] {
  const start = bomLength(body);
  const scan = scanEvent(body, start, body.length, NESTING);
  if (!scan.ok) throw malformed(scan);
  const value: unknown = JSON.parse(body.toString('utf8', start));
  if (!Array.isArray(value)) return [value];
  if (value.length === 0) throw new Problem('empty_body', 'The body holds no heartbeat.');
  if (value.length <= HEARTBEATS_MAX) return value;
  throw invalidParameter([{ path: '', code: 'too_many', message: `must hold at most ${HEARTBEATS_MAX} heartbeats` }]);
}

/** What is kept of it, or what is wrong with it. */
function readHeartbeat(value: unknown, tenant: string, nowUs: bigint): StoredHeartbeat | { errors: FieldError[] } {
  const parsed = Heartbeat.safeParse(value);
  if (!parsed.success) return { errors: explainIssues(parsed.error.issues, value) };
  const { emitter, time, sequence, instance_id: instanceId, vantage, agent_id: agentId, next_within_seconds: nextS } = parsed.data;
  const broken = Object.entries(parsed.data).find(([, text]) => typeof text === 'string' && !text.isWellFormed());
  if (broken !== undefined) return { errors: [{ path: `/${broken[0]}`, code: 'invalid_unicode', message: 'holds a lone surrogate, which is not Unicode text' }] };
  const at = parseTime(time);
  if (!at.ok || at.seconds < 0) return { errors: [{ path: '/time', code: 'time_out_of_range', message: 'is before 1970' }] };
  const said = toNanos(at) / 1000n;
  // A clock that is ahead must not promise more than it could keep.
  const atUs = said < nowUs ? said : nowUs;
  return { tenant, emitter, vantage, instanceId, agentId, atUs, dueAtUs: nextS === undefined ? undefined : atUs + BigInt(nextS) * 1_000_000n, sequence };
}
