import { z } from 'zod';
import type { Store } from '../store.ts';

/** Inclusive at both ends. */
export type Range = readonly [from: number, to: number];

export interface SequenceSpan {
  readonly emitter: string;
  readonly first: number;
  readonly last: number;
}

/** They travel in one parameter, of which ClickHouse takes 128 KiB. */
const EMITTERS_PER_QUERY = 200;
/** Sequence numbers to a bucket of the projection `emitter_sequences`. */
const BUCKET = 4096;

const PRESENT = `
    SELECT emitter, intDiv(sequence, ${BUCKET}) AS bucket, groupBitmapState(sequence) AS present
    FROM events
    WHERE tenant = {tenant: String} AND emitter IN {emitters: Array(String)} AND has_sequence`;
const GROUP = 'GROUP BY tenant, emitter, has_sequence, bucket';

// A bucket without holes is told by its ends and its count; only a broken one sends its numbers.
// A bitmap of few numbers is a list in the order of arrival, hence the sort.
const SQL = `
  SELECT emitter, bitmapMin(present) AS first, bitmapMax(present) AS last,
         if(bitmapCardinality(present) = last - first + 1, [], arraySort(bitmapToArray(present))) AS numbers
  FROM (${PRESENT} AND bucket >= {first_bucket: UInt64} AND bucket <= {last_bucket: UInt64} ${GROUP})`;

// Of all that lies before and after, only the nearest number matters.
const NEIGHBOURS = `
  SELECT emitter, max(bitmapMax(present)) AS first, first AS last, [] AS numbers
  FROM (${PRESENT} AND bucket < {first_bucket: UInt64} ${GROUP}) GROUP BY emitter
  UNION ALL
  SELECT emitter, min(bitmapMin(present)) AS first, first AS last, [] AS numbers
  FROM (${PRESENT} AND bucket > {last_bucket: UInt64} ${GROUP}) GROUP BY emitter`;

/** Only names what the optimizer would find by itself, later. */
const SETTINGS = { preferred_optimize_projection_name: 'emitter_sequences', optimize_use_implicit_projections: 0, use_skip_indexes: 0 } as const;

const Row = z.object({
  emitter: z.string(),
  first: z.coerce.number(),
  last: z.coerce.number(),
  numbers: z.array(z.coerce.number()),
});

/**
 * For each span, the sequence numbers in it that were never recorded, whatever their event's time or agent.
 *
 * A hole that touches a span's end from outside counts too, up to the next recorded number: its events may have
 * happened inside the window.
 */
export async function sequenceGaps(store: Store, tenant: string, spans: readonly SequenceSpan[]): Promise<Map<string, Range[]>> {
  const gaps = new Map<string, Range[]>();
  for (let i = 0; i < spans.length; i += EMITTERS_PER_QUERY) await addGaps(store, tenant, spans.slice(i, i + EMITTERS_PER_QUERY), gaps);
  return gaps;
}

async function addGaps(store: Store, tenant: string, spans: readonly SequenceSpan[], gaps: Map<string, Range[]>): Promise<void> {
  const params = {
    tenant,
    emitters: spans.map((span) => span.emitter),
    first_bucket: Math.floor(Math.min(...spans.map((span) => span.first)) / BUCKET),
    last_bucket: Math.floor(Math.max(...spans.map((span) => span.last)) / BUCKET),
  };
  let rows = await store.select(SQL, params, Row, SETTINGS);
  // Asked for only where no neighbour is in sight: elsewhere the nearest number is known already.
  if (!spans.every((span) => hasNeighbours(rows, span))) rows = rows.concat(await store.select(NEIGHBOURS, params, Row, SETTINGS));
  const runs = Map.groupBy(rows.toSorted((a, b) => a.first - b.first), (row) => row.emitter);
  for (const span of spans) {
    const present = (runs.get(span.emitter) ?? []).flatMap((row) => (row.numbers.length === 0 ? [[row.first, row.last] as const] : toRuns(row.numbers)));
    gaps.set(span.emitter, holes(present, span));
  }
}

/** Whether recorded numbers on both sides of the span are among the rows; before 0 there is none to look for. */
function hasNeighbours(rows: readonly z.infer<typeof Row>[], { emitter, first, last }: SequenceSpan): boolean {
  const own = rows.filter((row) => row.emitter === emitter);
  return (first === 0 || own.some((row) => row.first < first)) && own.some((row) => row.last > last);
}

/** @param numbers ascending, distinct */
export function toRuns(numbers: readonly number[]): Range[] {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] + 1 === number) run[1] = number;
    else runs.push([number, number]);
  }
  return runs;
}

/**
 * The holes between runs that overlap or touch [first, last].
 *
 * @param runs ascending, disjoint, inclusive
 */
export function holes(runs: readonly Range[], span: { readonly first: number; readonly last: number }): Range[] {
  const missing: Range[] = [];
  let end: number | undefined;
  for (const [from, to] of runs) {
    if (end !== undefined && from > end + 1) {
      const hole: Range = [end + 1, from - 1];
      if (hole[1] >= span.first - 1 && hole[0] <= span.last + 1) missing.push(hole);
    }
    end = to;
  }
  return missing;
}
