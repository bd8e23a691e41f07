import { EventTape, type IngestAnswer } from '@agent-audit/schemas';
import { Problem, type Caller, type Clock, type Config, type KeyRing, type Log, type Telemetry } from '@agent-audit/shared';
import type { EventSink, RecordResult } from './event-sink.ts';
import type { Rejected } from './intake.ts';
import { NotRecorded } from './not-recorded.ts';
import type { Body } from './read-body.ts';

/** What the collector's routes need. */
export interface CollectorDeps {
  readonly sink: EventSink;
  readonly keys: KeyRing;
  readonly config: Pick<Config, 'MAX_BODY_BYTES' | 'MAX_EVENT_BYTES' | 'MAX_NESTING'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
}

/** One is enough: from reading to `record` nothing is waited for. */
const tape = new EventTape();

/**
 * Reads a request's events, takes in what was accepted and, for the quarantine, what was not, and only then
 * answers: 202 when at least one event is durable, 422 when all were rejected.
 *
 * @param body is released here
 * @param prefer the Prefer header (RFC 7240): `wait=N` also waits, up to N seconds, until the events can be found
 * @param read puts the accepted events on the tape and returns the rejected ones
 * @throws Problem `unavailable` when they cannot be taken in; the caller may repeat the request as it is
 */
export async function accept(deps: CollectorDeps, caller: Caller, body: Body, prefer: string | undefined, read: (tape: EventTape) => readonly Rejected[]): Promise<Response> {
  try {
    const since = deps.clock.monotonicMs();
    for (let room = deps.sink.room(since); room !== undefined; room = deps.sink.room(since)) await room;
    const waitMs = preferredWaitMs(prefer);
    const { accepted, rejected, recording } = takeIn(deps, caller, waitMs, read);
    body.release();
    const recorded = await recording;
    deps.telemetry.events('accepted', recorded.accepted);
    deps.telemetry.events('duplicate', recorded.duplicates);
    deps.telemetry.events('rejected', rejected.length);
    const answer: IngestAnswer = {
      accepted: recorded.accepted,
      duplicates: recorded.duplicates,
      rejected: rejected.map(({ index, eventId, errors }) => ({ index, ...(eventId === undefined ? {} : { event_id: eventId }), errors: [...errors] })),
    };
    return Response.json(answer, { status: accepted > 0 ? 202 : 422, ...(waitMs > 0 && recorded.stored === true ? { headers: { 'preference-applied': `wait=${waitMs / 1000}` } } : {}) });
  } catch (error) {
    if (!(error instanceof NotRecorded)) throw error;
    throw new Problem('unavailable', `The events were not acknowledged: ${error.message}. Send the same request again.`, {}, { 'retry-after': '2' });
  } finally {
    body.release();
  }
}

function takeIn(deps: CollectorDeps, caller: Caller, waitMs: number, read: (tape: EventTape) => readonly Rejected[]): { accepted: number; rejected: readonly Rejected[]; recording: Promise<RecordResult> } {
  try {
    const rejected = read(tape);
    const origin = `http:${caller.keyId}`;
    const recording = deps.sink.record({ tenant: caller.tenant, tape, refused: rejected.map((event) => ({ ...event, origin })), waitMs });
    return { accepted: tape.count, rejected, recording };
  } finally {
    tape.clear();
  }
}

const WAIT_S_MAX = 30;

/** Milliseconds of `wait=N` (RFC 7240 section 4.3); 0 without one. What is not understood is ignored, as that document says. */
function preferredWaitMs(prefer: string | undefined): number {
  const seconds = /(?:^|[,;])\s*wait\s*=\s*(\d{1,6})\s*(?:$|[,;])/i.exec(prefer ?? '')?.[1];
  return Math.min(Number(seconds ?? 0), WAIT_S_MAX) * 1000;
}
