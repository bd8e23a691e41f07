import type { Store } from '../store.ts';

const SQL = `
  INSERT INTO collector_runs (collector_id, run_id, started_at, seen_at, ended)
  SELECT {collector_id: String}, {run_id: UUID}, fromUnixTimestamp64Micro({started_us: Int64}), fromUnixTimestamp64Micro({seen_us: Int64}), {ended: UInt8}`;

/** Microseconds since the Unix epoch. */
export interface CollectorRun {
  readonly collectorId: string;
  readonly runId: string;
  readonly startedUs: bigint;
  readonly seenUs: bigint;
  /** It takes no more events in. */
  readonly ended: boolean;
}

/** Says that a collector takes events in; the same may be said again. @throws StoreError */
export function putCollectorRun(store: Store, { collectorId, runId, startedUs, seenUs, ended }: CollectorRun): Promise<void> {
  return store.command(SQL, { collector_id: collectorId, run_id: runId, started_us: startedUs, seen_us: seenUs, ended: ended ? 1 : 0 });
}
