import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMeter } from './cpu.ts';
import { lifelikeEvent } from './lifelike.ts';
import { ndjsonBodies, postAll } from './posting.ts';
import { runService } from './run-service.ts';

export interface IngestResult {
  readonly events: number;
  readonly event_bytes: number;
  /** Medians over the rounds. */
  readonly acknowledged_to_client_insert: number;
  readonly stored_to_client_insert: number;
  readonly stored_to_bare_insert: number;
  readonly rounds: readonly Round[];
}

interface Round {
  /** Events a second until the last was acknowledged. */
  readonly acknowledged: number;
  /** Events a second until all were counted in ClickHouse. */
  readonly stored: number;
  /** Rows a second: the official client's `insert` of row objects. */
  readonly client_insert: number;
  /** Rows a second: `INSERT … FORMAT JSONEachRow` of the same rows, encoded beforehand. */
  readonly bare_insert: number;
  /** Microseconds of CPU per event, by process; merges in the background included. */
  readonly stored_cpu_us: Readonly<Record<'service' | 'engine' | 'load', number>>;
  readonly bare_cpu_us: Readonly<Record<'engine' | 'client', number>>;
}

const BASELINE_BATCH = 10_000;

/**
 * (a) Events per second through `POST /v1/events`, until the last is acknowledged and until all can be queried, as against
 * the same rows inserted as JSONEachRow into a table of the same definition in the same engine: row objects by the official
 * client, and text encoded beforehand. Rounds alternate, so that a slow moment of the machine hits all.
 */
export async function benchIngest(events: number, rounds: number): Promise<IngestResult> {
  const service = await runService();
  const { url, key, engine, database } = service;
  const client = createClient({ url: engine.url, username: engine.username, password: engine.password, database });
  const rate = (begin: number): number => Math.round(events / ((performance.now() - begin) / 1000));
  try {
    await client.command({ query: 'CREATE TABLE baseline AS events' });
    const columns = (await (await client.query({ query: "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'events' ORDER BY position", format: 'JSONEachRow' })).json<{ name: string }>()).map((row) => row.name);
    const results: Round[] = [];
    for (let round = 0; round <= rounds; round++) {
      const bodies = ndjsonBodies(`r${round}`, events);
      await mergesIdle(client);
      const posting = cpuMeter({ service: service.pid, engine: engine.pid, load: process.pid }, events);
      let begin = performance.now();
      await postAll(url, key, bodies);
      const acknowledged = rate(begin);
      await countedUpTo(client, (round + 1) * events);
      const stored = rate(begin);
      const storedCpu = posting();

      const rows = await (await client.query({ query: `SELECT ${columns.join(', ')} FROM events WHERE event_id LIKE 'r${round}-%'`, format: 'JSONEachRow' })).json<object>();
      if (rows.length !== events) throw new Error(`${rows.length} of ${events} events were found again`);
      await mergesIdle(client);
      begin = performance.now();
      for (let i = 0; i < rows.length; i += BASELINE_BATCH) await client.insert({ table: 'baseline', values: rows.slice(i, i + BASELINE_BATCH), format: 'JSONEachRow' });
      const clientInsert = rate(begin);

      const texts: Buffer[] = [];
      for (let i = 0; i < rows.length; i += BASELINE_BATCH) texts.push(Buffer.from(rows.slice(i, i + BASELINE_BATCH).map((row) => `${JSON.stringify(row)}\n`).join('')));
      rows.length = 0;
      await mergesIdle(client);
      const inserting = cpuMeter({ engine: engine.pid, client: process.pid }, events);
      begin = performance.now();
      for (const text of texts) await insertText(client, text);
      const bareInsert = rate(begin);
      // The first round warms all of them up.
      if (round > 0) results.push({ acknowledged, stored, client_insert: clientInsert, bare_insert: bareInsert, stored_cpu_us: storedCpu, bare_cpu_us: inserting() });
    }
    const ratio = (of: (round: Round) => number): number => Number(median(results.map(of)).toFixed(2));
    return {
      events, event_bytes: Buffer.byteLength(lifelikeEvent('r1', 0, Date.now())),
      acknowledged_to_client_insert: ratio((r) => r.acknowledged / r.client_insert),
      stored_to_client_insert: ratio((r) => r.stored / r.client_insert), stored_to_bare_insert: ratio((r) => r.stored / r.bare_insert), rounds: results,
    };
  } finally {
    await client.close();
    await service.stop();
  }
}

async function insertText(client: ClickHouseClient, text: Buffer): Promise<void> {
  const { stream } = await client.exec({ query: 'INSERT INTO baseline FORMAT JSONEachRow', values: Readable.from([text], { objectMode: false }) });
  await stream.resume().toArray();
}

export async function countedUpTo(client: ClickHouseClient, events: number): Promise<void> {
  for (;;) {
    const [row] = await (await client.query({ query: 'SELECT toUInt32(count()) AS n FROM events', format: 'JSONEachRow' })).json<{ n: number }>();
    if (row?.n === events) return;
    await sleep(10);
  }
}

/** Waits until the engine has merged what the phase before left behind, so that each phase pays for its own merges. */
export async function mergesIdle(client: ClickHouseClient): Promise<void> {
  // Nor for its garbage: this process holds both the bodies and the rows.
  globalThis.gc?.();
  for (let tries = 0, quiet = 0; quiet < 3 && tries < 300; tries++) {
    const rows = await (await client.query({ query: 'SELECT count() = 0 AS idle FROM system.merges', format: 'JSONEachRow' })).json<{ idle: number }>();
    quiet = rows[0]?.idle === 1 ? quiet + 1 : 0;
    await sleep(100);
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}
