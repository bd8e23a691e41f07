import { placesFrom, recordedLogs, Store, type StoreOptions } from '@agent-audit/queries';
import { TILE_WIDTH } from '@agent-audit/tlog';
import { Findings, type Report } from '../finding.ts';
import type { SignedCheckpoint } from '../keys.ts';
import { NAMED_MAX, type SliceResult } from './check-slice.ts';
import { nameSuspects, type TombstoneOf } from './name-suspects.ts';
import { checkSlices, type SliceTask } from './slice-pool.ts';
import { storedLog, type StoredLog } from './stored-log.ts';

export interface StoreCheckOptions {
  readonly store: StoreOptions;
  /** `<data>/logs/<tenant>@<collector>`. */
  readonly folder: string;
  /** Of a log that was checked by itself. */
  readonly checkpoint: SignedCheckpoint;
  /** At a time. */
  readonly threads: number;
  readonly tombstoneOf?: TombstoneOf;
  readonly onRows?: ((rows: number) => void) | undefined;
}

/** Places in a slice: ClickHouse, which sorts by agent, may read most of the tenant's events for each, so there should be few. */
const SLICE_MAX = 1 << 21;
const noTombstones: TombstoneOf = async () => undefined;

/**
 * Reads every stored event of a log again, and names those that are not what was logged.
 *
 * @throws StoreError; CannotVerify
 */
export async function verifyStore({ store: options, folder, checkpoint, threads, tombstoneOf = noTombstones, onRows = () => {} }: StoreCheckOptions): Promise<Report> {
  const log = await storedLog(folder, checkpoint);
  const findings = new Findings();
  const results: SliceResult[] = [];
  await checkSlices(options, slices(log, threads), threads, onRows, (result) => results.push(result));
  const store = new Store(options);
  try {
    const behind = await behindTheEnd(store, log);
    const suspects = [...results.flatMap((result) => result.suspects).toSorted((a, b) => a - b), ...behind.suspects].slice(0, NAMED_MAX);
    const total = sum(results, ({ suspectsTotal }) => suspectsTotal) + behind.suspects.length;
    const erased = await nameSuspects(store, log, suspects, tombstoneOf, findings);
    findings.count(total - suspects.length);
    for (const { index, eventId, columns } of results.flatMap(({ altered }) => altered)) {
      findings.add({ finding: 'edited', log_id: log.logId, log_index: index, event_id: eventId, detail: `columns that are not those of its bytes: ${columns.join(', ')}` });
    }
    findings.count(sum(results, ({ alteredTotal, altered }) => alteredTotal - altered.length));
    const missing = results.flatMap((result) => result.missing).toSorted((a, b) => a - b);
    const unreadable = sum(results, (result) => result.unreadable);
    return findings.report(
      {
        log_id: log.logId, entries: log.size, rows: sum(results, ({ rows }) => rows), bytes: sum(results, ({ bytes }) => bytes),
        pending: behind.pending, erased, missing: missing.length,
      },
      [
        'the flag conflict, and which segment brought a row: nothing but the recorder knew them',
        ...(behind.pending === 0 ? [] : [`${behind.pending} events that are newer than the checkpoint`]),
        ...(missing.length === 0 ? [] : [`what the ${missing.length} events were that were gone before they were put into the log: ${placesText(missing)}`]),
        ...(unreadable === 0 ? [] : [`the columns of ${unreadable} events that are no events by today's schema; their bytes are those of the log`]),
        ...(total > suspects.length ? [`what became of ${total - suspects.length} further places that are not what was logged: only the first ${NAMED_MAX} are named`] : []),
      ],
    );
  } finally {
    await store.close();
  }
}

/** Logs of which events are stored, and that are not among these. */
export async function logsElsewhere(options: StoreOptions, logIds: readonly string[]): Promise<string[]> {
  const store = new Store(options);
  try {
    const found = await recordedLogs(store);
    return found.filter(({ tenant, collector_id: id }) => !logIds.includes(`${tenant}/${id}`)).map(({ tenant, collector_id: id, rows }) => `${rows} events of ${tenant}/${id}: its log is not here`);
  } finally {
    await store.close();
  }
}

/** As many for each thread, all beginning where tiles do. */
function slices(log: StoredLog, threads: number): SliceTask[] {
  if (log.size === 0) return [];
  const count = threads * Math.ceil(log.size / (threads * SLICE_MAX));
  const places = Math.ceil(log.size / count / TILE_WIDTH) * TILE_WIDTH;
  return Array.from({ length: Math.ceil(log.size / places) }, (_, i) => ({ log, from: i * places, to: Math.min(log.size, (i + 1) * places) }));
}

/** Events go on being recorded: those that follow on the end without a hole are only newer than the checkpoint. */
async function behindTheEnd(store: Store, log: StoredLog): Promise<{ readonly pending: number; readonly suspects: readonly number[] }> {
  const places = await placesFrom(store, log, log.size, NAMED_MAX);
  let next = log.size;
  const suspects = new Set<number>();
  for (const place of places) {
    if (place === next) next++;
    else suspects.add(place);
  }
  return { pending: next - log.size, suspects: [...suspects] };
}

const PLACES_SHOWN = 20;

function placesText(places: readonly number[]): string {
  return `${places.slice(0, PLACES_SHOWN).join(', ')}${places.length > PLACES_SHOWN ? ', …' : ''}`;
}

function sum(results: readonly SliceResult[], of: (result: SliceResult) => number): number {
  return results.reduce((total, result) => total + of(result), 0);
}
