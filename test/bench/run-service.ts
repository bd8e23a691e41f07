import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedClickHouse, type EmbeddedClickHouse } from '@agent-audit/clickhouse-embedded';

export interface BenchService {
  readonly url: string;
  readonly key: string;
  readonly engine: EmbeddedClickHouse;
  readonly database: string;
  /** The service's data folder. */
  readonly dir: string;
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

/**
 * The real service in a process of its own, on an engine that the benchmark may speak to as well.
 *
 * @param by the address at which the service is to find the engine
 * @param settings further `AGENT_AUDIT_*` variables, without the prefix
 */
export async function runService(by: (engineUrl: string) => Promise<string> = async (url) => url, settings: Readonly<Record<string, string>> = {}): Promise<BenchService> {
  const dir = await mkdtemp(join(tmpdir(), 'agent-audit-bench-'));
  const engine = await startEmbeddedClickHouse({ dataDir: join(dir, 'clickhouse') });
  const key = 'bench-key-'.padEnd(40, 'x');
  const database = 'agent_audit';
  const service = fork(new URL('../../services/standalone/src/main.ts', import.meta.url), {
    env: {
      ...process.env,
      AGENT_AUDIT_PORT: '0',
      AGENT_AUDIT_DATA_DIR: dir,
      AGENT_AUDIT_ADMIN_KEY: key,
      AGENT_AUDIT_CLICKHOUSE_URL: await by(engine.url),
      AGENT_AUDIT_CLICKHOUSE_USER: engine.username,
      AGENT_AUDIT_CLICKHOUSE_PASSWORD: engine.password,
      AGENT_AUDIT_CLICKHOUSE_DATABASE: database,
      ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [`AGENT_AUDIT_${name}`, value])),
    },
    // As `npm start` does.
    execArgv: process.env['BENCH_EXEC_ARGV']?.split(' ') ?? ['--max-semi-space-size=8'],
    stdio: ['ignore', process.env['BENCH_STDOUT'] === undefined ? 'ignore' : 'inherit', 'pipe', 'ipc'],
  });
  let said = '';
  const url = await new Promise<string>((resolve, reject) => {
    service.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const found = /ready at (\S+)/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    service.once('exit', () => reject(new Error(`the service ended: ${said}`)));
  });
  return {
    url, key, engine, database, dir, pid: service.pid,
    stop: async () => {
      const gone = once(service, 'exit');
      service.kill('SIGTERM');
      await gone;
      await engine.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
