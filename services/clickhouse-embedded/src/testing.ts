import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClickHouseLogLevel, createClient, type ClickHouseClient, type ClickHouseClientConfigOptions } from '@clickhouse/client';
import { startEmbeddedClickHouse, type EmbeddedClickHouse, type EmbeddedClickHouseOptions } from './index.ts';

/** For tests only: an engine on a directory of its own, and clients that are closed with it. */
export interface TestEngine extends AsyncDisposable {
  readonly engine: EmbeddedClickHouse;
  /** Logged in; `config` overrides. */
  connect(config?: ClickHouseClientConfigOptions): ClickHouseClient;
  /** Of a raw request to the engine. */
  readonly authorization: string;
  readonly dataDir: string;
}

export const startTestEngine = async (options: Partial<EmbeddedClickHouseOptions> = {}): Promise<TestEngine> => {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'clickhouse-embedded-'));
  const engine = await startEmbeddedClickHouse({ dataDir, ...options });
  const clients: ClickHouseClient[] = [];
  return {
    engine,
    dataDir,
    authorization: `Basic ${Buffer.from(`${engine.username}:${engine.password}`).toString('base64')}`,
    connect: (config = {}) => {
      const client = createClient({
        url: engine.url,
        username: engine.username,
        password: engine.password,
        log: { level: ClickHouseLogLevel.OFF },
        ...config,
      });
      clients.push(client);
      return client;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(clients.map((client) => client.close()));
      await engine.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
};

/** Asks every 10 ms; fails the test with what it asked last after 15 s. */
export const until = async <T>(ask: () => Promise<T> | T, enough: (answer: T) => boolean): Promise<T> => {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const answer = await ask();
    if (enough(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(answer)} after 15 s`);
    await sleep(10);
  }
};

export const rows = async <T = unknown>(
  client: ClickHouseClient,
  query: string,
  options: { query_params?: Record<string, unknown>; session_id?: string; clickhouse_settings?: Record<string, string | number> } = {},
): Promise<T[]> => {
  const result = await client.query({ query, format: 'JSONEachRow', ...options });
  return result.json<T>();
};

/** Resident memory of a process, in MiB (Linux). */
export const residentMib = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/u.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
