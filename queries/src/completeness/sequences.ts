import { z } from 'zod';
import type { Store } from '../store.ts';
import { duplicatedIn } from './duplicated.ts';
import { BUCKET, INSTANCE, keyOf, type EmitterInstance } from './instance.ts';
import { holes, joined, toRuns, withAnnounced, within, type Range } from './ranges.ts';

export interface SequenceSpan extends EmitterInstance {
  readonly first: number;
  readonly last: number;
  /** Numbers that the emitter said it had used, where it did: they exist, whether recorded or not. */
  readonly announced?: Range | undefined;
}

export interface Sequences {
  /** Recorded numbers of the span. */
  readonly seen: readonly Range[];
  /** Numbers in the span, or in a hole that touches it, that were never recorded. */
  readonly missing: readonly Range[];
  /** Numbers of the span that several events carry. */
  readonly duplicated: readonly Range[];
}

/** Names travel in one parameter, of which ClickHouse takes 128 KiB. */
const EMITTERS_PER_QUERY = 200;
const NAMES_BYTES = 64 * 1024;

const PRESENT = `
    SELECT emitter, ${INSTANCE} AS instance, intDiv(sequence, ${BUCKET}) AS bucket, groupBitmapState(sequence) AS present, countIf(NOT bitTest(flags, 2)) AS events
    FROM events
    WHERE tenant = {tenant: String} AND emitter IN {emitters: Array(String)} AND instance IN {instances: Array(String)} AND has_sequence`;
const GROUP = 'GROUP BY tenant, emitter, instance, has_sequence, bucket';

// A bucket without holes is told by its ends and its count; only a broken one sends its numbers.
// A bitmap of few numbers is a list in the order of arrival, hence the sort.
const SQL = `
  SELECT emitter, instance, bitmapMin(present) AS first, bitmapMax(present) AS last,
         if(bitmapCardinality(present) = last - first + 1, [], arraySort(bitmapToArray(present))) AS numbers,
         toUInt32(greatest(0, toInt64(events) - toInt64(bitmapCardinality(present)))) AS surplus
  FROM (${PRESENT} AND bucket >= {first_bucket: UInt64} AND bucket <= {last_bucket: UInt64} ${GROUP})`;

// Of all that lies before and after, only the nearest number matters.
const NEIGHBOURS = `
  SELECT emitter, instance, arrayConcat(if(countIf(bucket < {first_bucket: UInt64}) = 0, [], [maxIf(bitmapMax(present), bucket < {first_bucket: UInt64})]),
                                        if(countIf(bucket > {last_bucket: UInt64}) = 0, [], [minIf(bitmapMin(present), bucket > {last_bucket: UInt64})])) AS numbers
  FROM (${PRESENT} AND (bucket < {first_bucket: UInt64} OR bucket > {last_bucket: UInt64}) ${GROUP})
  GROUP BY emitter, instance`;

const ERASED = `
  SELECT emitter, instance, arraySort(groupUniqArray(sequence)) AS numbers
  FROM event_tombstones
  WHERE tenant = {tenant: String} AND emitter IN {emitters: Array(String)} AND instance IN {instances: Array(String)} AND has_sequence
  GROUP BY emitter, instance`;

/** Only names what the optimizer would find by itself, later. */
const SETTINGS = { preferred_optimize_projection_name: 'instance_sequences', optimize_use_implicit_projections: 0, use_skip_indexes: 0 } as const;

const Row = z.object({
  emitter: z.string(),
  instance: z.string(),
  first: z.coerce.number(),
  last: z.coerce.number(),
  numbers: z.array(z.coerce.number()),
  /** By how much there are more events than numbers: some may have been used by two. */
  surplus: z.number(),
});
type Row = z.infer<typeof Row>;
const Numbers = Row.pick({ emitter: true, instance: true, numbers: true });

/**
 * What is known of the numbers of each span, whatever their event's time or agent; by `keyOf`.
 *
 * A hole that touches a span's end from outside is missing too, up to the next recorded number: its events may have
 * happened inside the window.
 */
export async function sequences(store: Store, tenant: string, spans: readonly SequenceSpan[]): Promise<Map<string, Sequences>> {
  const found = new Map<string, Sequences>();
  for (const batch of batches(spans)) await addSequences(store, tenant, batch, found);
  return found;
}

function* batches(spans: readonly SequenceSpan[]): Generator<SequenceSpan[]> {
  let batch: SequenceSpan[] = [];
  let bytes = 0;
  for (const span of spans) {
    const more = Buffer.byteLength(span.emitter) + Buffer.byteLength(span.instance);
    if (batch.length === EMITTERS_PER_QUERY || (batch.length > 0 && bytes + more > NAMES_BYTES)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(span);
    bytes += more;
  }
  if (batch.length > 0) yield batch;
}

async function addSequences(store: Store, tenant: string, spans: readonly SequenceSpan[], found: Map<string, Sequences>): Promise<void> {
  const params = {
    tenant,
    emitters: [...new Set(spans.map((span) => span.emitter))],
    instances: [...new Set(spans.map((span) => span.instance))],
    first_bucket: Math.floor(Math.min(...spans.map((span) => span.first)) / BUCKET),
    last_bucket: Math.floor(Math.max(...spans.map((span) => span.last)) / BUCKET),
  };
  const rows = await store.select(SQL, params, Row, SETTINGS);
  const repeated = Map.groupBy(rows.filter((row) => row.surplus > 0), keyOf);
  const [neighbours, duplicated] = await Promise.all([
    // Asked for only where no neighbour is in sight: elsewhere the nearest number is known already.
    hasAllNeighbours(rows, spans) ? [] : store.select(NEIGHBOURS, params, Numbers, SETTINGS),
    duplicatedIn(store, tenant, spans.flatMap((span) => repeated.get(keyOf(span)) ?? [])),
  ]);
  const recorded = [
    ...rows.map((row) => ({ key: keyOf(row), runs: row.numbers.length === 0 ? [[row.first, row.last] as const] : toRuns(row.numbers) })),
    ...neighbours.map((row) => ({ key: keyOf(row), runs: toRuns(row.numbers) })),
  ];
  const judge = (known: typeof recorded): void => {
    const byInstance = Map.groupBy(known, ({ key }) => key);
    for (const span of spans) {
      const runs = joined((byInstance.get(keyOf(span)) ?? []).flatMap((row) => row.runs).toSorted((a, b) => a[0] - b[0]));
      found.set(keyOf(span), { seen: within(runs, span), missing: holes(withAnnounced(runs, span.announced), span), duplicated: within(duplicated.get(keyOf(span)) ?? [], span) });
    }
  };
  judge(recorded);
  if (spans.every((span) => found.get(keyOf(span))?.missing.length === 0)) return;
  // What was erased was there. Holes are rare, and so are erasures: elsewhere nobody asks for them.
  const erased = await store.select(ERASED, params, Numbers);
  if (erased.length > 0) judge([...recorded, ...erased.map((row) => ({ key: keyOf(row), runs: toRuns(row.numbers) }))]);
}

/** Whether recorded numbers on both sides of each span are among the rows; before 0 there is none to look for. */
function hasAllNeighbours(rows: readonly Row[], spans: readonly SequenceSpan[]): boolean {
  const byInstance = Map.groupBy(rows, keyOf);
  return spans.every(({ first, last, ...instance }) => {
    const own = byInstance.get(keyOf(instance)) ?? [];
    return (first === 0 || own.some((row) => row.first < first)) && own.some((row) => row.last > last);
  });
}
