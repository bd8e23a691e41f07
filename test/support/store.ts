import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedClickHouse, type EmbeddedClickHouse } from '@agent-audit/clickhouse-embedded';
import { EventBlockEncoder, migrate, Store, type StoreOptions } from '@agent-audit/queries';
import { EventTape, type AuditEvent } from '@agent-audit/schemas';

/** What a test's engine may use: tests are small, and several run at a time. */
const ENGINE_BYTES = 1024 ** 3;

/** An engine of its own with the schema in place. */
export interface TestStore extends AsyncDisposable {
  readonly engine: EmbeddedClickHouse;
  /** For another `Store` on the same database. */
  readonly options: StoreOptions;
  readonly store: Store;
}

/** An engine on a free port and a directory of its own; both are gone after disposal. */
export async function startTestEngine(): Promise<Omit<TestStore, 'store'>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'agent-audit-store-'));
  const engine = await startEmbeddedClickHouse({ dataDir, maxMemoryBytes: ENGINE_BYTES });
  return {
    engine,
    options: { url: engine.url, username: engine.username, password: engine.password, database: 'agent_audit' },
    [Symbol.asyncDispose]: async () => {
      await engine.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export async function startTestStore(): Promise<TestStore> {
  const started = await startTestEngine();
  await migrate(started.options);
  const store = new Store(started.options);
  return {
    ...started,
    store,
    [Symbol.asyncDispose]: async () => {
      await store.close();
      await started[Symbol.asyncDispose]();
    },
  };
}

/** An event on its way into the table, with what the recorder would say of it; all but the event has a default. */
export interface TestRow {
  /** Text goes in byte for byte. */
  readonly event: AuditEvent | string;
  readonly tenant?: string;
  readonly collectorId?: string;
  readonly logIndex?: number;
  readonly flags?: number;
  /** Microseconds since the Unix epoch. */
  readonly receivedAtMicros?: number;
}

/** 2026-03-01T12:00:00Z, in microseconds since the Unix epoch. */
export const RECEIVED_AT = 1_772_366_400_000_000;

/**
 * Puts rows into the table `events` as one segment, without a recorder: whatever copies, conflicts and positions a
 * test wants to be there.
 *
 * @returns the segment's id
 */
export async function insertRows(store: Store, rows: readonly TestRow[], segmentId: string = randomUUID()): Promise<string> {
  const tape = new EventTape();
  const encoders = Map.groupBy(rows, (row) => row.collectorId ?? 'c1');
  for (const [collectorId, ofCollector] of encoders) {
    const encoder = new EventBlockEncoder();
    for (const row of ofCollector) {
      const raw = Buffer.from(typeof row.event === 'string' ? row.event : JSON.stringify(row.event));
      const refused = tape.take(raw);
      if (refused !== undefined) throw new Error(`not an event: ${JSON.stringify(refused.errors)}`);
      const { tenant = 't', logIndex = 0, flags = 0, receivedAtMicros = RECEIVED_AT } = row;
      encoder.append(tape, tape.count - 1, { tenant, logIndex, flags, receivedAtMicros }, { segmentId, collectorId });
    }
    await store.insertNative('events', encoder.columnNames, encoder.finish(), `${segmentId}/${collectorId}`);
  }
  return segmentId;
}
