import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { residentMib, rows, startTestEngine, until, type TestEngine } from './testing.ts';

let ch: TestEngine;
let client: ClickHouseClient;
beforeAll(async () => {
  ch = await startTestEngine();
  client = ch.connect();
});
afterAll(() => ch[Symbol.asyncDispose]());

const resident = (): number => residentMib(ch.engine.pid ?? 0);
const isRunning = async (query_id: string): Promise<boolean> =>
  (await rows(client, 'SELECT 1 FROM system.processes WHERE query_id = {query_id:String}', { query_params: { query_id } })).length > 0;

test('10 million rows stream through flat memory', async () => {
  const query = 'SELECT number, toString(number) AS s, number * 2 AS d FROM numbers(10000000)';
  await (await client.query({ query: `${query} LIMIT 1000000`, format: 'JSONEachRow' })).text();
  const before = resident();
  let peak = before;
  let count = 0;
  const result = await client.query({ query, format: 'JSONEachRow' });
  let chunks = 0;
  for await (const chunk of result.stream()) {
    count += chunk.length;
    chunks += 1;
    if (chunks % 100 === 0) peak = Math.max(peak, resident());
  }
  expect(count).toBe(10_000_000);
  // As text it is some 450 MiB.
  expect(peak - before).toBeLessThan(150);
});

test('a slow reader holds the query back, and ends it by going away', async () => {
  const query_id = randomUUID();
  const before = resident();
  const { stream } = await client.exec({ query: "SELECT number, repeat('x', 100) FROM numbers(1000000000) FORMAT TSV", query_id });
  await sleep(500);
  expect(await isRunning(query_id)).toBe(true);
  expect(resident() - before).toBeLessThan(150);
  stream.destroy();
  await until(() => isRunning(query_id), (running) => !running);
});

test('an aborted read-only query is cancelled, though it has sent nothing yet', async () => {
  const query_id = randomUUID();
  const aborter = new AbortController();
  const aborted = client
    .query({
      query: 'SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))',
      query_id,
      abort_signal: aborter.signal,
      clickhouse_settings: { readonly: '2' },
    })
    .catch((error: unknown) => error);
  await until(() => isRunning(query_id), (running) => running);
  aborter.abort();
  expect(await aborted).toMatchObject({ message: 'The user aborted a request.' });
  await until(() => isRunning(query_id), (running) => !running);
});

test.each(['JSONEachRow', 'CSV', 'JSONCompactEachRowWithNames'] as const)('an error in the middle of a stream of %s reaches the reader', async (format) => {
  const result = await client.query({
    query: "SELECT number, throwIf(number = 3000000, 'in the middle') AS t FROM numbers(5000000)",
    format,
    clickhouse_settings: { max_block_size: '10000', max_threads: 1 },
  });
  let count = 0;
  const read = async (): Promise<void> => {
    for await (const chunk of result.stream()) count += chunk.length;
  };
  await expect(read()).rejects.toMatchObject({ code: '395', type: 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO', message: expect.stringContaining('in the middle') });
  expect(count).toBeGreaterThan(1_000_000);
});

test('with wait_end_of_query an error comes instead of the answer', async () => {
  const refused = client.query({
    query: 'SELECT number, throwIf(number = 300000) AS t FROM numbers(500000)',
    format: 'JSONEachRow',
    clickhouse_settings: { wait_end_of_query: 1, max_block_size: '10000' },
  });
  await expect(refused).rejects.toMatchObject({ code: '395' });
});

test('clients that go away in any state leave the engine up', async () => {
  const leaving = Array.from({ length: 60 }, async (_, n) => {
    const aborter = new AbortController();
    setTimeout(() => aborter.abort(), n * 3);
    const insert = n % 3 === 0;
    const body = insert ? new ReadableStream({ pull: (controller) => sleep(5).then(() => controller.enqueue(Buffer.from('1\n'))) }) : null;
    const query = insert ? 'INSERT INTO FUNCTION null(\'n UInt8\') FORMAT TSV' : n % 3 === 1 ? 'SELECT number FROM numbers(100000000)' : 'SELECT sleep(1)';
    await fetch(`${ch.engine.url}/?query=${encodeURIComponent(query)}`, {
      method: 'POST',
      headers: { authorization: ch.authorization },
      signal: aborter.signal,
      ...(body ? { body, duplex: 'half' } : {}),
    })
      .then((response) => response.text())
      .catch(() => {});
  });
  await Promise.all(leaving);
  expect(await rows(client, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(ch.engine.restarts).toBe(0);
});
