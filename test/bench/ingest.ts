import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMeter } from './cpu.ts';
import { lifelikeEvent } from './lifelike.ts';
import { runService } from './run-service.ts';

export interface IngestResult {
  readonly events: number;
  readonly event_bytes: number;
  readonly post_events_per_second: number;
  readonly jsoneachrow_events_per_second: number;
  readonly ratio: number;
  readonly rounds: readonly Round[];
}

interface Round {
  readonly post: number;
  readonly jsoneachrow: number;
  /** Microseconds of CPU per event, by process; merges in the background included. */
  readonly post_cpu_us: Readonly<Record<'service' | 'engine' | 'load', number>>;
  readonly jsoneachrow_cpu_us: Readonly<Record<'engine' | 'client', number>>;
}

const BATCH = 500;
const CONNECTIONS = 192;
const BASELINE_BATCH = 10_000;

/**
 * (a) Events per second through `POST /v1/events` as against the official client's `insert` of the same rows, as
 * JSONEachRow row objects, into a table of the same definition in the same engine. Rounds alternate, so that a slow
 * moment of the machine hits both.
 */
export async function benchIngest(events: number, rounds: number): Promise<IngestResult> {
  const service = await runService();
  const { url, key, engine, database } = service;
  const client = createClient({ url: engine.url, username: engine.username, password: engine.password, database });
  try {
    await client.command({ query: 'CREATE TABLE baseline AS events' });
    const results: Round[] = [];
    for (let round = 0; round <= rounds; round++) {
      const bodies = ndjsonBodies(`r${round}`, events);
      await mergesIdle(client);
      const posting = cpuMeter({ service: service.pid, engine: engine.pid, load: process.pid }, events);
      const post = events / (await postAll(url, key, bodies));
      const postCpu = posting();
      const columns = (await (await client.query({ query: "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'events' ORDER BY position", format: 'JSONEachRow' })).json<{ name: string }>()).map((row) => row.name);
      const rows = await (await client.query({ query: `SELECT ${columns.join(', ')} FROM events WHERE event_id LIKE 'r${round}-%'`, format: 'JSONEachRow' })).json<object>();
      if (rows.length !== events) throw new Error(`${rows.length} of ${events} events were found again`);
      await mergesIdle(client);
      const inserting = cpuMeter({ engine: engine.pid, client: process.pid }, events);
      const begin = performance.now();
      for (let i = 0; i < rows.length; i += BASELINE_BATCH) await client.insert({ table: 'baseline', values: rows.slice(i, i + BASELINE_BATCH), format: 'JSONEachRow' });
      const jsoneachrow = events / ((performance.now() - begin) / 1000);
      // The first round warms both up.
      if (round > 0) results.push({ post: Math.round(post), jsoneachrow: Math.round(jsoneachrow), post_cpu_us: postCpu, jsoneachrow_cpu_us: inserting() });
    }
    const post = median(results.map((r) => r.post));
    const jsoneachrow = median(results.map((r) => r.jsoneachrow));
    return {
      events, event_bytes: Buffer.byteLength(lifelikeEvent('r1', 0, Date.now())), post_events_per_second: post, jsoneachrow_events_per_second: jsoneachrow,
      ratio: Number(median(results.map((r) => r.post / r.jsoneachrow)).toFixed(2)), rounds: results,
    };
  } finally {
    await client.close();
    await service.stop();
  }
}

/** Waits until the engine has merged what the phase before left behind, so that each phase pays for its own merges. */
async function mergesIdle(client: ClickHouseClient): Promise<void> {
  // Nor for its garbage: this process holds both the bodies and the rows.
  globalThis.gc?.();
  for (let tries = 0, quiet = 0; quiet < 3 && tries < 300; tries++) {
    const rows = await (await client.query({ query: 'SELECT count() = 0 AS idle FROM system.merges', format: 'JSONEachRow' })).json<{ idle: number }>();
    quiet = rows[0]?.idle === 1 ? quiet + 1 : 0;
    await sleep(100);
  }
}

function ndjsonBodies(run: string, events: number): Buffer[] {
  const startMs = Date.now() - events * 10;
  return Array.from({ length: Math.ceil(events / BATCH) }, (_, body) => {
    const first = body * BATCH;
    return Buffer.from(Array.from({ length: Math.min(BATCH, events - first) }, (__, n) => `${lifelikeEvent(run, first + n, startMs)}\n`).join(''));
  });
}

/** Posts NDJSON of 500 over a few connections. @returns seconds until the last answer */
async function postAll(url: string, key: string, bodies: readonly Buffer[]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const begin = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (let body = bodies[next++]; body !== undefined; body = bodies[next++]) await post(agent, url, key, body);
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  agent.destroy();
  return seconds;
}

function post(agent: Agent, url: string, key: string, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}/v1/events`,
      { agent, method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/x-ndjson', 'content-length': body.length } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => (answer.statusCode === 202 && text.includes('"rejected":[]') ? resolve() : reject(new Error(`${answer.statusCode}: ${text.slice(0, 500)}`))));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}
