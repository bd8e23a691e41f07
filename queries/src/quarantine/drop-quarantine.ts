import { hash } from 'node:crypto';
import { z } from 'zod';
import { DateTime64Column, encodeBlock, LowCardinalityColumn, UInt16Column, UInt64Column, type Column } from '../native/index.ts';
import type { Store } from '../store.ts';
import { marks } from './marks.ts';

const PARTITIONS = `
  SELECT partition_id, sum(bytes_on_disk) AS bytes, sum(rows) AS entries
  FROM system.parts
  WHERE database = currentDatabase() AND active AND table = {table: String}
  GROUP BY partition_id
  ORDER BY partition_id`;

const Partition = z.object({ partition_id: z.string(), bytes: z.coerce.number(), entries: z.coerce.number() });

/** One day of quarantine, over all tenants. */
export interface QuarantineDay {
  /** `YYYY-MM-DD`, UTC. */
  readonly day: string;
  /** On disk. */
  readonly bytes: number;
  readonly entries: number;
}

/** The days that quarantine holds, oldest first. */
export async function quarantineDays(store: Store): Promise<QuarantineDay[]> {
  return (await store.select(PARTITIONS, { table: 'quarantine' }, Partition)).map(({ partition_id: id, bytes, entries }) => ({ day: dayOfPartition(id), bytes, entries }));
}

/** Drops marks whose entries are gone: a pass that died after it dropped a day's entries left them. */
export async function dropOrphanedReplays(store: Store): Promise<void> {
  // In this order: entries are there before anybody can mark them.
  const marked = await store.select(PARTITIONS, { table: 'quarantine_replays' }, Partition);
  const kept = new Set((await quarantineDays(store)).map(({ day }) => day));
  for (const { partition_id: id } of marked) if (!kept.has(dayOfPartition(id))) await dropPartition(store, 'quarantine_replays', dayOfPartition(id));
}

export interface Dropped {
  readonly entries: number;
  readonly bytes: number;
}

export type DropReason = 'size' | 'age';

/**
 * Drops a day of quarantine, after the number of its entries was written down for each tenant.
 *
 * @param beforeUs only what was received before; absent: the whole day, which costs no rewriting
 */
export async function dropQuarantine(store: Store, day: string, reason: DropReason, nowUs: bigint, beforeUs?: bigint): Promise<Dropped> {
  const counted = await countDay(store, day, beforeUs);
  if (counted.length === 0) return { entries: 0, bytes: 0 };
  marks.note(store);
  await writeDown(store, day, reason, nowUs, counted);
  for (const table of ['quarantine', 'quarantine_replays'] as const) {
    if (beforeUs === undefined) await dropPartition(store, table, day);
    else await deleteBefore(store, table, day, beforeUs);
  }
  return { entries: sum(counted, (row) => row.entries), bytes: sum(counted, (row) => row.bytes) };
}

/**
 * The moment before which about this share of a day's bytes was received, in microseconds.
 *
 * @param share 0 to 1
 */
export async function momentOfShare(store: Store, day: string, share: number): Promise<bigint> {
  const sql = `
  SELECT quantileExactWeighted({share: Float64})(toUnixTimestamp64Micro(received_at), bytes + 1) AS moment_us
  FROM quarantine WHERE toYYYYMMDD(received_at) = toYYYYMMDD({day: Date})`;
  const [row] = await store.select(sql, { share, day }, z.object({ moment_us: z.coerce.bigint() }));
  return (row?.moment_us ?? 0n) + 1n;
}

const OF_DAY = 'toYYYYMMDD(received_at) = toYYYYMMDD({day: Date}) AND received_at < fromUnixTimestamp64Micro({before_us: Int64})';

const COUNT = `
  SELECT tenant, count() AS entries, sum(bytes) AS bytes, groupBitXor(cityHash64(quarantine_id)) AS digest,
         countIf(quarantine_id IN (SELECT quarantine_id FROM quarantine_replays WHERE ${OF_DAY})) AS replayed
  FROM quarantine
  WHERE ${OF_DAY}
  GROUP BY tenant
  ORDER BY tenant`;

const Counted = z.object({
  tenant: z.string(), entries: z.coerce.number(), bytes: z.coerce.number(), digest: z.string(), replayed: z.coerce.number(),
});

const END_OF_TIME_US = 9_000_000_000_000_000n;

function countDay(store: Store, day: string, beforeUs = END_OF_TIME_US): Promise<z.infer<typeof Counted>[]> {
  return store.select(COUNT, { day, before_us: beforeUs }, Counted);
}

/**
 * The token is of what is counted: a pass that died between counting and dropping is repeated by the next, and
 * its entries are not counted twice.
 */
async function writeDown(store: Store, day: string, reason: DropReason, nowUs: bigint, counted: readonly z.infer<typeof Counted>[]): Promise<void> {
  const to = {
    tenant: new LowCardinalityColumn(), day: new UInt16Column(), dropped_at: new DateTime64Column(6), reason: new LowCardinalityColumn(),
    outstanding: new UInt64Column(), replayed: new UInt64Column(), bytes: new UInt64Column(),
  } satisfies Record<string, Column>;
  for (const row of counted) {
    to.tenant.append(row.tenant);
    // ClickHouse's Date: days since the epoch.
    to.day.append(Date.parse(day) / 86_400_000);
    to.dropped_at.appendTicks(nowUs);
    to.reason.append(reason);
    to.outstanding.append(row.entries - row.replayed);
    to.replayed.append(row.replayed);
    to.bytes.append(row.bytes);
  }
  const token = hash('sha256', JSON.stringify([day, counted.map(({ tenant, entries, bytes, digest }) => [tenant, entries, bytes, digest])]), 'hex');
  await store.insertNative('quarantine_dropped', Object.keys(to), encodeBlock(to, counted.length), token);
}

type Table = 'quarantine' | 'quarantine_replays';

/** Drops nothing where there is no such partition. */
function dropPartition(store: Store, table: Table, day: string): Promise<void> {
  return store.command(`ALTER TABLE ${table} DROP PARTITION ID {partition: String}`, { partition: day.replaceAll('-', '') });
}

/** Rewrites the day without what is dropped; resolves when that is done. */
function deleteBefore(store: Store, table: Table, day: string, beforeUs: bigint): Promise<void> {
  return store.command(
    `ALTER TABLE ${table} DELETE WHERE ${OF_DAY} SETTINGS mutations_sync = 1`,
    { day, before_us: beforeUs },
  );
}

const dayOfPartition = (id: string): string => `${id.slice(0, 4)}-${id.slice(4, 6)}-${id.slice(6, 8)}`;

function sum<T>(rows: readonly T[], of: (row: T) => number): number {
  return rows.reduce((total, row) => total + of(row), 0);
}
