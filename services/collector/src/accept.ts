import { EventTape, type IngestAnswer } from '@agent-audit/schemas';
import { Problem, type Caller, type Config, type KeyRing } from '@agent-audit/shared';
import type { EventSink } from './event-sink.ts';
import type { Rejected } from './intake.ts';
import { NotRecorded } from './recorder.ts';

/** What the collector's routes need. */
export interface CollectorDeps {
  readonly sink: EventSink;
  readonly keys: KeyRing;
  readonly config: Pick<Config, 'MAX_BODY_BYTES' | 'MAX_EVENT_BYTES' | 'MAX_NESTING'>;
}

/** Tapes that are not in use: a tape is a megabyte that need not be allocated for every request. */
const tapes: EventTape[] = [];
const IDLE_TAPES_MAX = 16;

/**
 * Reads a request's events, makes durable what was accepted and what was not, and only then answers: 202 when at least
 * one event was accepted, 422 when all were rejected.
 *
 * @param read puts the accepted events on the tape and returns the rejected ones
 * @throws Problem `unavailable` when the store does not take them; the caller may repeat the request as it is
 */
export async function accept(deps: CollectorDeps, caller: Caller, read: (tape: EventTape) => readonly Rejected[]): Promise<Response> {
  const tape = tapes.pop() ?? new EventTape();
  try {
    const rejected = read(tape);
    const accepted = tape.count;
    const origin = `http:${caller.keyId}`;
    const recorded = await deps.sink.record({ tenant: caller.tenant, tape, refused: rejected.map((event) => ({ ...event, origin })) });
    const answer: IngestAnswer = {
      accepted: recorded.accepted,
      duplicates: recorded.duplicates,
      rejected: rejected.map(({ index, eventId, errors }) => ({ index, ...(eventId === undefined ? {} : { event_id: eventId }), errors: [...errors] })),
    };
    return Response.json(answer, { status: accepted > 0 ? 202 : 422 });
  } catch (error) {
    if (!(error instanceof NotRecorded)) throw error;
    throw new Problem('unavailable', `The events were not acknowledged: ${error.message}. Send the same request again.`, {}, { 'retry-after': '2' });
  } finally {
    tape.clear();
    if (tapes.length < IDLE_TAPES_MAX) tapes.push(tape);
  }
}
