import type { EventTape } from '@agent-audit/schemas';
import type { Refused } from './segments/format.ts';

/** What one request, or the messages of one tenant in one batch, brought. */
export interface Recording {
  readonly tenant: string;
  /** The events that were accepted. */
  readonly tape: EventTape;
  /** The events that were not, for the quarantine. */
  readonly refused: readonly Refused[];
  /** Milliseconds to wait until the events can be found in answers. */
  readonly waitMs?: number;
}

export interface RecordResult {
  /** Events that are new, conflicts included. While ClickHouse is away, also those that may turn out to be repeats. */
  readonly accepted: number;
  /** Events that were recorded before with the same bytes. */
  readonly duplicates: number;
  /** They were waited for, and can be found in answers. */
  readonly stored?: boolean;
}

/** Where events go in. */
export interface EventSink {
  /**
   * To be awaited, again and again until it gives undefined, before events are read for `record`: so senders are slowed
   * down to the pace at which events can be stored.
   *
   * @param sinceMs when the waiting began: it has an end
   */
  room(sinceMs: number): Promise<unknown> | undefined;

  /**
   * Takes events in, those that were refused included. Copies what it needs before it returns: the tape and the
   * bytes behind it are free at once.
   *
   * The promise resolves only when every one of them is durable: callers must not acknowledge anything before. When
   * it rejects, some may still have been taken in: repeating the request is safe and tells them as duplicates.
   *
   * @throws NotRecorded when they cannot be taken in now
   */
  record(recording: Recording): Promise<RecordResult>;
}
