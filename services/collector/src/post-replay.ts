import { findQuarantined, listQuarantine, whileBytesFit, type Store } from '@agent-audit/queries';
import {
  explainIssues, FILTERS, memberRange, parseEventQuery, ReplayCorrection, ReplayIds, ReplayWindow, scanEvent, type ReplayAnswer,
} from '@agent-audit/schemas';
import { decodeCursor, encodeCursor, invalidParameter, Problem, requireScope, type AuthEnv, type Clock, type Config, type KeyRing, type Log, type Telemetry } from '@agent-audit/shared';
import { Hono, type Context } from 'hono';
import { z } from 'zod';
import type { BodyDeps } from './body-budget.ts';
import { malformed } from './intake.ts';
import { readBody } from './read-body.ts';
import { NotRecorded } from './not-recorded.ts';
import { replay, REPLAY_BYTES, type Replayed } from './replay.ts';
import type { EventSink } from './event-sink.ts';

/** What replaying needs. */
export interface ReplayDeps extends BodyDeps {
  readonly store: Store;
  readonly sink: EventSink;
  readonly keys: KeyRing;
  readonly config: Pick<Config, 'MAX_BODY_BYTES' | 'MAX_EVENT_BYTES' | 'MAX_NESTING'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
}

/** [from, to, received_at, quarantine_id]; times in microseconds. */
const Position = z.tuple([z.coerce.bigint(), z.coerce.bigint(), z.coerce.bigint(), z.uuid()]);

/**
 * `POST /v1/quarantine/replay`: refused events are read again and recorded where they are valid now.
 *
 * The scope is `admin`: whoever replays decides that what a producer sent and was refused is part of the record, and
 * may send other bytes in its place.
 */
export function postReplay(deps: ReplayDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().post('/v1/quarantine/replay', requireScope(deps.keys, 'admin'), async (c) => {
    const body = await readBody(c, deps.config.MAX_BODY_BYTES, deps.bodies);
    try {
      const answer = await answerReplay(deps, c, body.bytes);
      deps.log.info({ replayed: answer.replayed, duplicates: answer.duplicates, still_rejected: answer.still_rejected.length }, 'replayed events from quarantine');
      return c.json(answer);
    } catch (error) {
      if (!(error instanceof NotRecorded)) throw error;
      throw new Problem('unavailable', `Not all was replayed: ${error.message}. Send the same request again.`, {}, { 'retry-after': '2' });
    } finally {
      body.release();
    }
  });
}

function answerReplay(deps: ReplayDeps, c: Context<AuthEnv>, body: Buffer): Promise<ReplayAnswer> {
  // The request is one level around a corrected event.
  const scan = scanEvent(body, 0, body.length, deps.config.MAX_NESTING + 1);
  if (!scan.ok) throw malformed(scan);
  const request: unknown = JSON.parse(body.toString('utf8'));
  const has = (name: string): boolean => typeof request === 'object' && request !== null && Object.hasOwn(request, name);
  if (has('ids')) return replayIds(deps, c, parse(ReplayIds, request).ids);
  if (has('event') || has('id')) {
    const { id } = parse(ReplayCorrection, request);
    const { start, end } = memberRange(body, { start: 0, end: body.length }, 'event') as { start: number; end: number };
    return replayIds(deps, c, [id], new Map([[id.toLowerCase(), body.subarray(start, end)]]));
  }
  return replayWindow(deps, c, parse(ReplayWindow, request));
}

async function replayIds(deps: ReplayDeps, c: Context<AuthEnv>, given: readonly string[], corrected?: ReadonlyMap<string, Uint8Array>): Promise<ReplayAnswer> {
  // ClickHouse writes them in lower case (RFC 9562 section 4).
  const ids = [...new Set(given.map((id) => id.toLowerCase()))];
  const { tenant, keyId } = c.get('caller');
  const entries = await findQuarantined(deps.store, tenant, ids);
  const found = new Set(entries.map((entry) => entry.quarantine_id));
  const done = await replay(optionsOf(deps), tenant, `http:${keyId}`, entries, corrected);
  return { ...answerOf(deps, done), not_found: [...ids.filter((id) => !found.has(id)), ...done.gone], next_cursor: null };
}

/** Entries that are replayed already are not met here, so that asking again goes on with those that are left. */
async function replayWindow(deps: ReplayDeps, c: Context<AuthEnv>, request: ReplayWindow): Promise<ReplayAnswer> {
  const { tenant, keyId } = c.get('caller');
  const { code, ...rest } = request;
  const text = new URLSearchParams(Object.entries(rest).map(([name, value]) => [name, String(value)]));
  const parsed = parseEventQuery(text, deps.clock.nowMicros() * 1000n, { without: FILTERS });
  if (!parsed.ok) throw invalidParameter(parsed.errors);
  const { query } = parsed;
  const question = [tenant, 'replay', request.from, request.to ?? null, code ?? null];
  const after = query.cursor === undefined ? undefined : decodeCursor(question, query.cursor, Position);
  const fromUs = after?.[0] ?? query.from / 1000n;
  const toUs = after?.[1] ?? (query.to + 999n) / 1000n;
  const rows = await listQuarantine(deps.store, {
    tenant, fromUs, toUs, code, order: 'asc', limit: query.limit + 1, state: 'quarantined',
    after: after && { receivedAtUs: after[2], quarantineId: after[3] },
  });
  const page = whileBytesFit(rows.slice(0, query.limit), REPLAY_BYTES);
  const done = await replay(optionsOf(deps), tenant, `http:${keyId}`, page);
  const last = page.at(-1);
  const next = last !== undefined && rows.length > page.length ? encodeCursor(question, [`${fromUs}`, `${toUs}`, `${last.received_at_us}`, last.quarantine_id]) : null;
  return { ...answerOf(deps, done), not_found: [...done.gone], next_cursor: next };
}

function optionsOf({ store, sink, clock, config }: ReplayDeps): Parameters<typeof replay>[0] {
  return { store, sink, clock, limits: { eventBytes: config.MAX_EVENT_BYTES, nesting: config.MAX_NESTING } };
}

function answerOf(deps: ReplayDeps, { replayed, duplicates, stillRejected }: Replayed): Pick<ReplayAnswer, 'replayed' | 'duplicates' | 'still_rejected'> {
  deps.telemetry.events('accepted', replayed);
  deps.telemetry.events('duplicate', duplicates);
  return { replayed, duplicates, still_rejected: stillRejected.map(({ quarantineId, errors }) => ({ quarantine_id: quarantineId, errors: [...errors] })) };
}

function parse<T>(shape: z.ZodType<T>, value: unknown): T {
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidParameter(explainIssues(parsed.error.issues, value));
}
