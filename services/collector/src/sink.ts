import type { EventTape, FieldError } from '@agent-audit/schemas';

/** What one request brought: events on a tape, and those that were refused. */
export interface Recording {
  readonly tenant: string;
  readonly tape: EventTape;
  readonly refused: readonly {
    /** How it came in, such as `http:<key id>`. */
    readonly origin: string;
    readonly eventId: string | undefined;
    readonly errors: readonly FieldError[];
    readonly raw: Uint8Array;
  }[];
}

/** Where events go to last. */
export interface EventSink {
  /**
   * Resolves when all of it is on disk; nothing may be acknowledged before. The tape is the sink's until then.
   *
   * @throws NotRecorded when it cannot be taken now; repeating it is safe
   */
  record(recording: Recording): Promise<{ accepted: number; duplicates: number }>;
}
