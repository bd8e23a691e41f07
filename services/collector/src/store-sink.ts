import type { Telemetry } from '@agent-audit/shared';
import type { EventSink, Recorded, Recording } from './event-sink.ts';
import type { Quarantine } from './quarantine.ts';
import type { Recorder } from './recorder.ts';

/** Records in ClickHouse: events by the recorder, refused ones in quarantine. */
export class StoreSink implements EventSink {
  readonly #recorder: Recorder;
  readonly #quarantine: Quarantine;
  readonly #telemetry: Telemetry;
  /** Recordings whose refused events are kept already, should the rest have to be repeated. */
  readonly #kept = new WeakSet<Recording>();

  constructor(recorder: Recorder, quarantine: Quarantine, telemetry: Telemetry) {
    this.#telemetry = telemetry;
    this.#recorder = recorder;
    this.#quarantine = quarantine;
  }

  async record(recording: Recording): Promise<Recorded> {
    const { tenant, tape, refused } = recording;
    if (!this.#kept.has(recording)) await this.#quarantine.keep(tenant, '', refused);
    this.#kept.add(recording);
    const recorded = await this.#recorder.record(tenant, tape);
    this.#telemetry.events('accepted', recorded.accepted);
    this.#telemetry.events('duplicate', recorded.duplicates);
    this.#telemetry.events('rejected', refused.length);
    return recorded;
  }
}
