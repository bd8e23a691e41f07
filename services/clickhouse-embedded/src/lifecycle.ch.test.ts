import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { startEmbeddedClickHouse } from './index.ts';
import { rows, startTestEngine, until, type TestEngine } from './testing.ts';

let open: TestEngine[] = [];
const start: typeof startTestEngine = async (options) => {
  const ch = await startTestEngine(options);
  open.push(ch);
  return ch;
};
afterEach(async () => {
  // The last one first: it may work on the directory of one before it.
  for (const ch of open.toReversed()) await ch[Symbol.asyncDispose]();
  open = [];
});

/** A zombie is dead: it only waits for an init that may never ask for it. */
const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/mu.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

const recovered = (ch: TestEngine, from: number): Promise<number | undefined> =>
  until(() => ch.engine.pid, (pid) => pid !== undefined && pid !== from);

test('what was acknowledged before SIGKILL is there afterwards, at the same address', async () => {
  const ch = await start();
  const client = ch.connect();
  await client.command({ query: 'CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100' });
  let acknowledged = 0;
  const inserting = (async () => {
    for (;;) {
      await client.insert({ table: 'kept', values: [{ n: acknowledged }], format: 'JSONEachRow' });
      acknowledged += 1;
    }
  })().catch(() => {});
  await until(() => acknowledged, (n) => n >= 20);
  const { url, pid = 0 } = ch.engine;
  process.kill(pid, 'SIGKILL');
  await inserting;
  await recovered(ch, pid);
  expect(ch.engine).toMatchObject({ url, restarts: 1 });
  const [answer] = await rows<{ acknowledged: number }>(client, 'SELECT toUInt32(countIf(n < {acknowledged: UInt64})) AS acknowledged FROM kept', {
    query_params: { acknowledged },
  });
  expect(answer).toEqual({ acknowledged });
});

test('an insert that is sent again after SIGKILL is still known by its token', async () => {
  const ch = await start();
  const client = ch.connect();
  await client.command({ query: 'CREATE TABLE once (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100' });
  const insert = (token: string) =>
    client.insert({ table: 'once', values: [{ n: 1 }, { n: 2 }], format: 'JSONEachRow', clickhouse_settings: { insert_deduplication_token: token } });
  await insert('segment-1');
  await insert('segment-1');
  const { pid = 0 } = ch.engine;
  process.kill(pid, 'SIGKILL');
  await recovered(ch, pid);
  await insert('segment-1');
  expect(await rows(client, 'SELECT toUInt32(count()) AS n FROM once')).toEqual([{ n: 2 }]);
  await insert('segment-2');
  expect(await rows(client, 'SELECT toUInt32(count()) AS n FROM once')).toEqual([{ n: 4 }]);
});

test('a crash of the engine is told with its reason, and restarted', async () => {
  const warnings: unknown[] = [];
  const ch = await start({ log: { info: () => {}, warn: (fields) => warnings.push(fields), error: () => {} } });
  const { pid = 0 } = ch.engine;
  process.kill(pid, 'SIGSEGV');
  await recovered(ch, pid);
  expect(await rows(ch.connect(), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(warnings).toEqual([{ pid, reason: expect.stringMatching(/^signal SIGSEGV: .*Received signal 11/su) }]);
});

test('stop() lets a running request finish, then frees the directory', async () => {
  const ch = await start();
  const client = ch.connect({ keep_alive: { enabled: false } });
  await client.command({ query: 'CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n' });
  await client.insert({ table: 't', values: [{ n: 7 }], format: 'JSONEachRow' });
  const running = rows(client, 'SELECT sum(sleepEachRow(0.1)) AS slept FROM numbers(10)');
  await until(
    () => rows<{ n: number }>(client, "SELECT toUInt32(count()) AS n FROM system.processes WHERE query LIKE '%sleepEachRow%'"),
    ([answer]) => answer?.n === 2,
  );
  const { pid = 0 } = ch.engine;
  await Promise.all([ch.engine.stop(), ch.engine.stop()]);
  expect(await running).toEqual([{ slept: 0 }]);
  expect(ch.engine.pid).toBeUndefined();
  expect(isAlive(pid)).toBe(false);
  expect(ch.engine.restarts).toBe(0);

  const again = await start({ dataDir: ch.dataDir });
  expect(await rows(again.connect(), 'SELECT n FROM t')).toEqual([{ n: 7 }]);
});

test('stop() while the engine is being restarted', async () => {
  for (const wait of [0, 100, 250]) {
    const ch = await start();
    const { pid = 0 } = ch.engine;
    process.kill(pid, 'SIGKILL');
    await until(() => ch.engine.pid, (current) => current !== pid);
    await sleep(wait);
    await ch.engine.stop();
    expect(ch.engine.pid).toBeUndefined();
    await expect(fetch(`${ch.engine.url}/ping`)).rejects.toThrow('fetch failed');
  }
});

test('a backup, and back', async () => {
  const ch = await start();
  const client = ch.connect();
  await client.command({ query: 'CREATE TABLE t ENGINE = MergeTree ORDER BY n AS SELECT 7::UInt8 AS n' });
  await client.command({ query: "BACKUP TABLE t TO File('first')" });
  await client.command({ query: 'DROP TABLE t SYNC' });
  await client.command({ query: "RESTORE TABLE t FROM File('first')" });
  expect(await rows(client, 'SELECT n FROM t')).toEqual([{ n: 7 }]);
  expect(existsSync(join(ch.dataDir, 'backups', 'first'))).toBe(true);
});

test('a data directory in use is refused, and names its user', async () => {
  const ch = await start();
  await expect(startEmbeddedClickHouse({ dataDir: ch.dataDir })).rejects.toMatchObject({
    code: 'data-dir-locked',
    message: expect.stringContaining(`process ${ch.engine.pid}`),
  });
  expect(await rows(ch.connect(), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

test('a port in use is refused', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const dataDir = mkdtempSync(join(tmpdir(), 'clickhouse-embedded-'));
  try {
    await expect(startEmbeddedClickHouse({ dataDir, port: (blocker.address() as AddressInfo).port })).rejects.toMatchObject({
      code: 'start-failed',
      message: expect.stringContaining('Address already in use'),
    });
  } finally {
    blocker.close();
    rmSync(dataDir, { recursive: true, force: true });
  }
});

test('an engine whose owner was killed ends, and its directory can be taken over at once', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'clickhouse-embedded-'));
  const script = `
    import { startEmbeddedClickHouse } from ${JSON.stringify(new URL('index.ts', import.meta.url).href)};
    const engine = await startEmbeddedClickHouse({ dataDir: ${JSON.stringify(dataDir)} });
    console.log(engine.pid);
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(owner.stdout, 'data')) as [Buffer];
  const orphan = Number(line.toString());
  expect(isAlive(orphan)).toBe(true);
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  const ch = await start({ dataDir });
  expect(await rows(ch.connect(), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  await until(() => isAlive(orphan), (alive) => !alive);
});

test('neither argv nor the files hold the password', async () => {
  const ch = await start();
  const { pid = 0, password } = ch.engine;
  expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(password);
  expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain(password);
  const run = join(ch.dataDir, 'run');
  expect(existsSync(join(run, 'users.xml'))).toBe(true);
  for (const name of readdirSync(run, { withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => entry.name)) {
    expect(readFileSync(join(run, name), 'utf8')).not.toContain(password);
  }
});

test('memory is bounded as asked', async () => {
  const ch = await start({ maxMemoryBytes: 600 * 1024 * 1024 });
  const client = ch.connect();
  expect(await rows(client, "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'")).toEqual([{ value: String(600 * 1024 * 1024) }]);
  await expect(
    rows(client, 'SELECT length(groupArray(repeat(toString(number), 100))) FROM numbers(5000000)', { clickhouse_settings: { max_threads: 1 } }),
  ).rejects.toMatchObject({ code: '241', type: 'MEMORY_LIMIT_EXCEEDED' });
  expect(await rows(client, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(ch.engine.restarts).toBe(0);
});
