import { z } from 'zod';
import type { Store } from '../store.ts';

/** How long a word holds: they come every ten seconds, and one that is late, or not seen yet, is no downtime. */
const HOLDS_US = 20_000_000;
/** How old the list of runs may be: it changes every ten seconds, and every page of events asks for it. */
const FRESH_MS = 2_000;

const SQL = `
  SELECT toUnixTimestamp64Micro(min(started_at)) AS started_us, toUnixTimestamp64Micro(max(seen_at)) + if(max(ended) = 1, 0, ${HOLDS_US}) AS until_us
  FROM collector_runs
  GROUP BY collector_id, run_id
  ORDER BY started_us, until_us`;

const Row = z.object({ started_us: z.coerce.bigint(), until_us: z.coerce.bigint() });

/** [from, to), microseconds since the Unix epoch. */
export type Downtime = readonly [fromUs: bigint, toUs: bigint];

const latest = new WeakMap<Store, { readonly atMs: number; readonly runs: Promise<Downtime[]> }>();

/**
 * When, in the window, no collector of this database was taking events in. Of the time before the first that is known
 * to have run, nothing is said.
 */
export async function collectorDowntime(store: Store, fromUs: bigint, toUs: bigint, freshMs = FRESH_MS): Promise<Downtime[]> {
  const known = latest.get(store);
  if (known !== undefined && performance.now() - known.atMs < freshMs) return downtimeOf(await known.runs, fromUs, toUs);
  const runs = store.select(SQL, {}, Row).then((rows) => rows.map((row): Downtime => [row.started_us, row.until_us]));
  latest.set(store, { atMs: performance.now(), runs });
  runs.catch(() => latest.delete(store));
  return downtimeOf(await runs, fromUs, toUs);
}

/** @param runs by their beginning */
export function downtimeOf(runs: readonly Downtime[], fromUs: bigint, toUs: bigint): Downtime[] {
  const down: [bigint, bigint][] = [];
  let upUntil: bigint | undefined;
  for (const [started, until] of [...runs, [toUs, toUs] as const]) {
    if (upUntil !== undefined && started > upUntil) {
      const [from, to] = [upUntil > fromUs ? upUntil : fromUs, started < toUs ? started : toUs];
      if (from < to) down.push([from, to]);
    }
    if (upUntil === undefined || until > upUntil) upUntil = until;
  }
  return down;
}
