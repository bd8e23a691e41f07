import type { IngestAnswer } from '@agent-audit/schemas';
import { Problem, type Caller, type Clock, type Config, type KeyRing, type Log, type Telemetry } from '@agent-audit/shared';
import type { Intake } from './intake.ts';
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

/**
 * Records what was accepted, quarantines what was not, and only then answers: 202 when at least one event is
 * recorded, 422 when all were rejected.
 *
 * @throws Problem `unavailable` when the store does not take them; the caller may repeat the request as it is
 */
export async function accept(deps: CollectorDeps, caller: Caller, { accepted, rejected }: Intake): Promise<Response> {
  try {
    const [recorded] = await Promise.all([
      deps.recorder.record(caller.tenant, accepted),
      deps.quarantine.keep(caller.tenant, `http:${caller.keyId}`, rejected),
    ]);
    deps.telemetry.events('accepted', recorded.accepted);
    deps.telemetry.events('duplicate', recorded.duplicates);
    deps.telemetry.events('rejected', rejected.length);
    const answer: IngestAnswer = {
      accepted: recorded.accepted,
      duplicates: recorded.duplicates,
      rejected: rejected.map(({ index, eventId, errors }) => ({ index, ...(eventId === undefined ? {} : { event_id: eventId }), errors: [...errors] })),
    };
    return Response.json(answer, { status: accepted.length > 0 ? 202 : 422 });
  } catch (error) {
    if (!(error instanceof NotRecorded)) throw error;
    throw new Problem('unavailable', `The events were not acknowledged: ${error.message}. Send the same request again.`, {}, { 'retry-after': '2' });
  }
}
