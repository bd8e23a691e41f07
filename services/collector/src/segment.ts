import type { EventBlockEncoder } from '@agent-audit/queries';
import type { QuarantinedRecord } from './segments/format.ts';
import type { LeftSegment, SegmentFile } from './segments/journal.ts';

/** An event whose id may be known. */
export interface Doubtful {
  readonly tenant: string;
  readonly receivedAtMicros: number;
  readonly raw: Uint8Array;
  /** Of the request that waits to hear of it. */
  readonly receipt: Receipt | undefined;
}

export interface Receipt {
  duplicates: number;
}

export interface QuarantinedEvent extends QuarantinedRecord {
  readonly tenant: string;
  readonly receivedAtMicros: number;
}

/** What is in a segment, ready for ClickHouse. */
export interface SegmentRows {
  /** Holds the events that are certainly new. */
  readonly encoder: EventBlockEncoder;
  /** How many of them each tenant has. */
  readonly counts: Map<string, number>;
  readonly doubtful: Doubtful[];
  readonly refused: QuarantinedEvent[];
  /** Settled when the encoder's rows are in the logs; undefined before they are stored. */
  logged?: Promise<void>;
}

/**
 * A segment on its way:
 *
 *     open ----> sealed ----> storing ----> stored
 *      |           |  ^          |
 *      |           |  |          +--> stuck: ClickHouse refuses it. It stays on disk and is tried at the next start
 *      |           |  |
 *      |           |  +-- left: found on disk at the start
 *      |           +--> on disk only, when ClickHouse is behind: read again when its turn has come
 *      +--> gone with the process: found at the next start, as far as it was synced
 *
 * open: takes events, is written and synced in groups; each is acknowledged after its sync.
 * sealed: on disk as a whole; nothing more goes in.
 * storing: one at a time and in order; in ClickHouse or not, until it was counted there.
 * stored: counted; the file is removed, which need not last: what is found again is known by its ids.
 *
 * Invariant: an event that is not doubtful is in no earlier segment and was not in ClickHouse when the segment was made.
 */
export interface Segment {
  readonly file: SegmentFile;
  /** Left by an earlier run, which may have stored it, or a part of it. */
  readonly left: boolean;
  /** Undefined: on disk only. */
  rows: SegmentRows | undefined;
  /** Places of the doubtful events of a segment that is on disk only; undefined while that is not known. */
  doubtfulPlaces: number[] | undefined;
  /** Why it could not be read when it was to be tested; it is not stored then, since repeats in it would look new. */
  unreadable: unknown;
  events: number;
  bytes: number;
  firstReceivedAtMicros: number;
  lastReceivedAtMicros: number;
  /** Resolves when nothing more is written to it. */
  sealed: Promise<void> | undefined;
  readonly stored: Promise<void>;
  readonly markStored: () => void;
}

export function newSegment(file: SegmentFile, rows: SegmentRows | undefined, doubtfulPlaces: number[] | undefined, receivedAtMicros: number): Segment {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    file, left: false, rows, doubtfulPlaces, unreadable: undefined, events: 0, bytes: 0, firstReceivedAtMicros: receivedAtMicros, lastReceivedAtMicros: receivedAtMicros,
    sealed: undefined, stored: promise, markStored: resolve,
  };
}

export function leftSegment({ file, events, firstReceivedAtMicros, lastReceivedAtMicros }: LeftSegment): Segment {
  return { ...newSegment(file, undefined, undefined, firstReceivedAtMicros), left: true, events, lastReceivedAtMicros, sealed: Promise.resolve() };
}
