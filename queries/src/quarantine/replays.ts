import { randomUUIDv7 } from 'node:crypto';
import { z } from 'zod';
import { BoolColumn, DateTime64Column, encodeBlock, LowCardinalityColumn, StringColumn, UuidColumn, type Column } from '../native/index.ts';
import type { Store } from '../store.ts';
import { dayOf } from './days.ts';
import { marks } from './marks.ts';

/** Says that an entry is recorded after all. */
export interface Replay {
  readonly quarantineId: string;
  /** Receipt of the entry, microseconds since the Unix epoch. */
  readonly receivedAtUs: bigint;
  readonly replayedAtUs: bigint;
  /** Who replayed it, such as `http:<key id>`. */
  readonly origin: string;
  /** Under which it is recorded. */
  readonly eventId: string;
  /** Recorded from other bytes than the entry holds. */
  readonly corrected: boolean;
}

const newColumns = () => ({
  tenant: new LowCardinalityColumn(),
  received_at: new DateTime64Column(6),
  quarantine_id: new UuidColumn(),
  replayed_at: new DateTime64Column(6),
  origin: new StringColumn(),
  event_id: new StringColumn(),
  corrected: new BoolColumn(),
}) satisfies Record<string, Column>;

/** Marks entries as replayed. Resolves once the marks are on disk; marking again changes nothing that is shown. */
export async function putReplays(store: Store, tenant: string, replays: readonly Replay[]): Promise<void> {
  marks.note(store);
  // One block, one partition: only then is an insert atomic.
  for (const ofDay of Map.groupBy(replays, (replay) => dayOf(replay.receivedAtUs)).values()) {
    const to = newColumns();
    for (const replay of ofDay) {
      to.tenant.append(tenant);
      to.received_at.appendTicks(replay.receivedAtUs);
      to.quarantine_id.append(replay.quarantineId);
      to.replayed_at.appendTicks(replay.replayedAtUs);
      to.origin.append(replay.origin);
      to.event_id.append(replay.eventId);
      to.corrected.append(replay.corrected);
    }
    await store.insertNative('quarantine_replays', Object.keys(to), encodeBlock(to, ofDay.length), randomUUIDv7());
  }
}

// The first mark holds: another can only come of two replays at the same time, of which one found the event recorded.
const SQL = `
  SELECT quarantine_id, toUnixTimestamp64Micro(received_at) AS received_at_us, toUnixTimestamp64Micro(replayed_at) AS replayed_at_us, origin, event_id, corrected
  FROM quarantine_replays
  WHERE tenant = {tenant: String} AND quarantine_id IN {ids: Array(UUID)}
  ORDER BY replayed_at
  LIMIT 1 BY quarantine_id`;

const Row = z
  .object({
    quarantine_id: z.string(), received_at_us: z.coerce.bigint(), replayed_at_us: z.coerce.bigint(), origin: z.string(), event_id: z.string(), corrected: z.boolean(),
  })
  .transform((row): Replay => ({
    quarantineId: row.quarantine_id, receivedAtUs: row.received_at_us, replayedAtUs: row.replayed_at_us, origin: row.origin, eventId: row.event_id, corrected: row.corrected,
  }));

/** The marks of those entries that are replayed, by id. */
export async function findReplays(store: Store, tenant: string, quarantineIds: readonly string[]): Promise<Map<string, Replay>> {
  if (quarantineIds.length === 0) return new Map();
  const rows = await store.select(SQL, { tenant, ids: quarantineIds }, Row);
  return new Map(rows.map((row) => [row.quarantineId, row]));
}
