import { z } from 'zod';
import type { Store } from '../store.ts';
import { BUCKET, INSTANCE, keyOf, type EmitterInstance } from './instance.ts';
import { joined, toRuns, type Range } from './ranges.ts';

/** Buckets whose events are read for one answer: some 130,000 numbers. */
const BUCKETS_READ = 32;

/** Recorded numbers of one bucket of an emitter's instance, and how many more events there are than numbers. */
export interface Bucket extends EmitterInstance {
  readonly first: number;
  readonly last: number;
  readonly surplus: number;
}

// Two collectors that recorded the same event at the same moment made two rows of it; that was noted afterwards.
const COPIES = `
  SELECT emitter, instance, toUInt64(intDiv(sequence, ${BUCKET})) AS bucket, toUInt32(uniqExact(event_id, collector_id, log_index)) AS copies
  FROM event_marks
  WHERE tenant = {tenant: String} AND emitter IN {emitters: Array(String)} AND has_sequence AND NOT bitTest(flags, 2)
  GROUP BY emitter, instance, bucket`;

const TWICE = `
  SELECT emitter, instance, min(sequence) AS first, max(sequence) AS last, if(count() = last - first + 1, [], arraySort(groupArray(sequence))) AS numbers
  FROM (
    SELECT emitter, ${INSTANCE} AS instance, sequence
    FROM events
    WHERE tenant = {tenant: String} AND emitter IN {emitters: Array(String)} AND instance IN {instances: Array(String)} AND has_sequence
      AND sequence >= {first: UInt64} AND sequence <= {last: UInt64}
      AND has(arrayMap(bucket -> toUInt64(bucket), {buckets: Array(String)}), intDiv(sequence, ${BUCKET}))
    GROUP BY emitter, instance, sequence
    HAVING min(sipHash64(event_id)) != max(sipHash64(event_id)))
  GROUP BY emitter, instance, intDiv(sequence, ${BUCKET})`;

const Copies = z.object({ emitter: z.string(), instance: z.string(), bucket: z.coerce.number(), copies: z.number() });
const Twice = z.object({ emitter: z.string(), instance: z.string(), first: z.coerce.number(), last: z.coerce.number(), numbers: z.array(z.coerce.number()) });

/**
 * The numbers that several events carry, by `keyOf`. What is proven by counting is only looked up for its exact numbers
 * in the first buckets; of the others the whole bucket is named.
 *
 * @param buckets with a surplus of events
 */
export async function duplicatedIn(store: Store, tenant: string, buckets: readonly Bucket[]): Promise<Map<string, readonly Range[]>> {
  const found = new Map<string, readonly Range[]>();
  if (buckets.length === 0) return found;
  const copies = new Map((await store.select(COPIES, { tenant, emitters: emittersOf(buckets) }, Copies)).map((row) => [bucketKey(row, row.bucket), row.copies]));
  const certain = buckets
    .filter((bucket) => bucket.surplus > (copies.get(bucketKey(bucket, bucketOf(bucket.first))) ?? 0))
    .toSorted((a, b) => a.first - b.first || (keyOf(a) < keyOf(b) ? -1 : 1));
  const read = certain.slice(0, BUCKETS_READ);
  const ranges = certain.slice(BUCKETS_READ).map((bucket): [key: string, range: Range] => [keyOf(bucket), [bucket.first, bucket.last]]);
  if (read.length > 0) {
    const params = {
      tenant, emitters: emittersOf(read), instances: [...new Set(read.map(({ instance }) => instance))], buckets: [...new Set(read.map(({ first }) => `${bucketOf(first)}`))],
      first: Math.min(...read.map(({ first }) => first)), last: Math.max(...read.map(({ last }) => last)),
    };
    const asked = new Set(read.map((bucket) => bucketKey(bucket, bucketOf(bucket.first))));
    for (const row of await store.select(TWICE, params, Twice)) {
      if (!asked.has(bucketKey(row, bucketOf(row.first)))) continue;
      for (const range of row.numbers.length === 0 ? [[row.first, row.last] as const] : toRuns(row.numbers)) ranges.push([keyOf(row), range]);
    }
  }
  for (const [key, own] of Map.groupBy(ranges, ([key]) => key)) found.set(key, joined(own.map(([, range]) => range).toSorted((a, b) => a[0] - b[0])));
  return found;
}

const emittersOf = (of: readonly EmitterInstance[]): string[] => [...new Set(of.map(({ emitter }) => emitter))];
const bucketOf = (sequence: number): number => Math.floor(sequence / BUCKET);
const bucketKey = (of: EmitterInstance, bucket: number): string => `${keyOf(of)}\n${bucket}`;
