import type { EventTape, FieldError } from '@agent-audit/schemas';

/** An event that cannot be recorded, on its way to quarantine. */
export interface Refused {
  /** How it came in, such as `http:<key id>` or `kafka:<topic>/<partition>/<offset>`. */
  readonly origin: string;
  /** Where one could be read. */
  readonly eventId: string | undefined;
  readonly errors: readonly FieldError[];
  readonly raw: Uint8Array;
}

/** What came in together for one tenant. */
export interface Recording {
  readonly tenant: string;
  readonly tape: EventTape;
  readonly refused: readonly Refused[];
}

export interface Recorded {
  /** Events that are new, conflicts included. */
  readonly accepted: number;
  /** Events that were recorded before with the same bytes. */
  readonly duplicates: number;
}

/** Where events become durable. */
export interface EventSink {
  /**
   * Resolves only when all of it is on disk, the refused included; nothing may be acknowledged before. Until it settles
   * the tape and the bytes it points to are the sink's.
   *
   * @throws NotRecorded when it cannot take it now; repeating the same recording is safe
   */
  record(recording: Recording): Promise<Recorded>;
}
