import { collectorDowntime, type Downtime } from '../collectors/downtime.ts';
import type { EventWindow } from '../events/list-events.ts';
import { heartbeatsFrom, type EmitterHeartbeats } from '../heartbeats/heartbeats-in-window.ts';
import type { Store } from '../store.ts';
import { countQuarantined } from '../quarantine/count-quarantined.ts';
import { emittersInWindow, type EmitterInWindow } from './emitters-in-window.ts';
import { keyOf } from './instance.ts';
import { sequences, type Sequences, type SequenceSpan } from './sequences.ts';

export type CompletenessStatus = 'complete' | 'gaps' | 'unknown';

/** One instance of one emitter: what is known of its counter and its life. */
export interface EmitterStatement extends Sequences {
  readonly emitter: string;
  /** Empty where the emitter has one counter for all. */
  readonly instance: string;
  /** `gaps`: numbers are missing. `unknown`: a number was used twice, it says no numbers, or it is silent. */
  readonly status: CompletenessStatus;
  /** The lowest and the highest number of the window; undefined where it only beat. */
  readonly first: number | undefined;
  readonly last: number | undefined;
  /** An instance of the same emitter was at work in the window before this one. */
  readonly restarted: boolean;
  /**
   * `active`: it has events in the window. `idle`: none, but it was alive. `silent`: a heartbeat that it promised is
   * overdue. `stopped`: its last heartbeat promised no other.
   */
  readonly state: 'active' | 'idle' | 'silent' | 'stopped';
  readonly heartbeat: { readonly lastAtUs: bigint; readonly dueAtUs: bigint | undefined; readonly sequence: number | undefined } | undefined;
}

export interface Completeness {
  /**
   * `complete`: every event of the window carries a sequence number, and of no emitter any is missing, or may be.
   * `gaps`: some are missing. `unknown`: no number is missing, but nothing proves it, because nobody was heard, some
   * events carry no number, or of some emitter it is unknown.
   */
  readonly status: CompletenessStatus;
  readonly emitters: readonly EmitterStatement[];
  /** Events of the window without a sequence number: of them, nothing can be proven. */
  readonly unnumbered: number;
  /** Events of the tenant that were refused and not replayed, by time of receipt; see `countQuarantined`. */
  readonly quarantined: number;
  /** Events received long after they happened. */
  readonly late: number;
  readonly conflicts: number;
  /** When no collector was taking events in. */
  readonly downtime: readonly Downtime[];
}

/** What is known to be missing from a window. Counts at most what was recorded when it was asked. @param nowUs when that is */
export async function completeness(
  store: Store,
  tenant: string,
  window: EventWindow,
  agentIds: readonly string[] | undefined,
  nowUs: bigint,
): Promise<Completeness> {
  const endUs = least(window.toNs / 1000n, nowUs);
  const [rows, quarantined, heard, downtime] = await Promise.all([
    emittersInWindow(store, tenant, window, agentIds),
    countQuarantined(store, tenant, window),
    heartbeatsFrom(store, tenant, window),
    collectorDowntime(store, window.fromNs / 1000n, endUs),
  ]);
  const numbered = new Map(rows.filter((row) => row.has_sequence).map((row) => [keyOf(row), row]));
  const beats = new Map(heard.map((beat) => [keyOf(beat), beat]));
  const alive = heard.filter((beat) => beat.inside && (agentIds === undefined || beat.agents.some((agent) => agentIds.includes(agent))));
  const keys = [...new Set([...numbered.keys(), ...alive.map(keyOf)])];
  const known = await sequences(store, tenant, keys.flatMap((key) => spanOf(numbered.get(key), beats.get(key)) ?? []));
  const started = earliest(rows);
  const emitters = keys
    .map((key) => statement(numbered.get(key), beats.get(key), known.get(key), endUs, started))
    .toSorted((a, b) => order(a.emitter, b.emitter) || order(a.instance, b.instance));
  const unnumbered = sum(rows.filter((row) => !row.has_sequence), (row) => row.events);
  const proven = emitters.length > 0 && unnumbered === 0 && emitters.every(({ status }) => status === 'complete');
  return {
    status: emitters.some(({ status }) => status === 'gaps') ? 'gaps' : proven ? 'complete' : 'unknown',
    emitters,
    unnumbered,
    quarantined,
    late: sum(rows, (row) => row.late),
    conflicts: sum(rows, (row) => row.conflicts),
    downtime,
  };
}

/** Of who only beat, what it said in the window; of others what was recorded, since holes that touch it count anyway. */
function spanOf(row: EmitterInWindow | undefined, beat: EmitterHeartbeats | undefined): SequenceSpan | undefined {
  const { emitter, instance } = (row ?? beat) as EmitterInWindow | EmitterHeartbeats;
  const ends = row === undefined ? beat?.announcedInside : [row.first, row.last] as const;
  return ends === undefined ? undefined : { emitter, instance, first: ends[0], last: ends[1], announced: beat?.announced };
}

const NOTHING: Sequences = { seen: [], missing: [], duplicated: [] };

function statement(
  row: EmitterInWindow | undefined,
  beat: EmitterHeartbeats | undefined,
  known: Sequences | undefined,
  endUs: bigint,
  started: ReadonlyMap<string, bigint>,
): EmitterStatement {
  const { emitter, instance } = (row ?? beat) as EmitterInWindow | EmitterHeartbeats;
  const { seen, missing, duplicated } = known ?? NOTHING;
  const state = beat === undefined ? 'active' : beat.dueAtUs === undefined ? 'stopped' : beat.dueAtUs < endUs ? 'silent' : row === undefined ? 'idle' : 'active';
  const doubtful = known === undefined || duplicated.length > 0 || state === 'silent';
  return {
    emitter, instance,
    status: missing.length > 0 ? 'gaps' : doubtful ? 'unknown' : 'complete',
    first: row?.first, last: row?.last,
    seen, missing, duplicated,
    restarted: row !== undefined && row.started > (started.get(emitter) as bigint),
    state,
    heartbeat: beat && { lastAtUs: beat.lastAtUs, dueAtUs: beat.dueAtUs, sequence: beat.announced?.[1] },
  };
}

/** When the first instance of each emitter began, as far as the window shows. */
function earliest(rows: readonly EmitterInWindow[]): Map<string, bigint> {
  const first = new Map<string, bigint>();
  for (const { emitter, has_sequence: numbered, started } of rows) if (numbered) first.set(emitter, least(first.get(emitter) ?? started, started));
  return first;
}

/** As ClickHouse sorts: by the bytes of UTF-8. */
function order(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function sum<T>(rows: readonly T[], of: (row: T) => number): number {
  return rows.reduce((total, row) => total + of(row), 0);
}
