import { EventTape, type IngestAnswer } from '@agent-audit/schemas';
import { Problem, type Caller, type Clock, type Config, type KeyRing, type Log, type Telemetry } from '@agent-audit/shared';
import type { Rejected } from './intake.ts';
import type { Quarantine } from './quarantine.ts';
import { NotRecorded, type Recorder } from './recorder.ts';

/** What the collector's routes need. */
export interface CollectorDeps {
  readonly recorder: Recorder;
  readonly quarantine: Quarantine;
  readonly keys: KeyRing;
  readonly config: Pick<Config, 'MAX_BODY_BYTES' | 'MAX_EVENT_BYTES' | 'MAX_NESTING'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
}

/** Tapes that are not in use: a tape is a megabyte that need not be allocated for every request. */
const tapes: EventTape[] = [];
const IDLE_TAPES_MAX = 16;

/**
 * Reads a request's events, records what was accepted, quarantines what was not, and only then answers: 202 when
 * at least one event is recorded, 422 when all were rejected.
 *
 * @param read puts the accepted events on the tape and returns the rejected ones
 * @throws Problem `unavailable` when the store does not take them; the caller may repeat the request as it is
 */
export async function accept(deps: CollectorDeps, caller: Caller, read: (tape: EventTape) => readonly Rejected[]): Promise<Response> {
  const tape = tapes.pop() ?? new EventTape();
  try {
    const rejected = read(tape);
    const accepted = tape.count;
    // One after the other: the tape is the recorder's until it has answered.
    await deps.quarantine.keep(caller.tenant, `http:${caller.keyId}`, rejected);
    const recorded = await deps.recorder.record(caller.tenant, tape);
    deps.telemetry.events('accepted', recorded.accepted);
    deps.telemetry.events('duplicate', recorded.duplicates);
    deps.telemetry.events('rejected', rejected.length);
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
