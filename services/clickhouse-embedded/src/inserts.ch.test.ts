import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import type { ClickHouseClient } from '@clickhouse/client';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { residentMib, rows, startTestEngine, type TestEngine } from './testing.ts';

let ch: TestEngine;
let client: ClickHouseClient;
beforeAll(async () => {
  ch = await startTestEngine();
  client = ch.connect();
});
afterAll(() => ch[Symbol.asyncDispose]());

beforeEach(async () => {
  await client.command({
    query: `CREATE OR REPLACE TABLE t (id UInt64, time DateTime64(3, 'UTC'), kind LowCardinality(String), text String DEFAULT 'none')
      ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100`,
  });
});

const count = async (): Promise<number> => {
  const [answer] = await rows<{ n: number }>(client, 'SELECT toUInt32(count()) AS n FROM t');
  return answer?.n ?? -1;
};
const parts = async (): Promise<number> => {
  const [answer] = await rows<{ n: number }>(client, "SELECT toUInt32(count()) AS n FROM system.parts WHERE table = 't' AND database = 'default' AND active AND level = 0");
  return answer?.n ?? -1;
};
/** Blocks in ClickHouse's Native format, of the columns of `t`. */
const native = async (many: number): Promise<Buffer> => {
  const { stream } = await client.exec({
    query: `SELECT number AS id, toDateTime64('2026-02-03 04:05:06.789', 3, 'UTC') AS time, toLowCardinality(toString(number % 7)) AS kind,
      repeat(hex(number), 10) AS text FROM numbers({many:UInt64}) FORMAT Native`,
    query_params: { many },
    clickhouse_settings: { max_block_size: '1000000', max_threads: 1 },
  });
  return buffer(stream);
};
const exec = async (query: string, body: Buffer | string, settings: Record<string, string | number> = {}) => {
  const { stream, summary } = await client.exec({ query, values: Readable.from([body], { objectMode: false }), clickhouse_settings: settings });
  await buffer(stream);
  return summary;
};

describe('Native', () => {
  test('30,000 rows make one part, and the summary says so', async () => {
    expect(await exec('INSERT INTO t FORMAT Native', await native(30_000))).toMatchObject({ written_rows: '30000' });
    expect(await count()).toBe(30_000);
    expect(await parts()).toBe(1);
    expect(await rows(client, 'SELECT id::UInt32 AS id, time, kind, text FROM t WHERE id = 29999')).toEqual([
      { id: 29_999, time: '2026-02-03 04:05:06.789', kind: '4', text: '752F'.repeat(10) },
    ]);
  });

  test('columns in another order and left out', async () => {
    const { stream } = await client.exec({ query: "SELECT 'k'::LowCardinality(String) AS kind, 5::UInt64 AS id FORMAT Native" });
    await exec('INSERT INTO t (kind, id) FORMAT Native', await buffer(stream));
    expect(await rows(client, 'SELECT id::UInt8 AS id, kind, text FROM t')).toEqual([{ id: 5, kind: 'k', text: 'none' }]);
  });

  test('compressed with gzip', async () => {
    const answer = await fetch(`${ch.engine.url}/?query=INSERT%20INTO%20t%20FORMAT%20Native`, {
      method: 'POST',
      body: gzipSync(await native(1000)),
      headers: { authorization: ch.authorization, 'content-encoding': 'gzip' },
    });
    expect(answer.status).toBe(200);
    expect(await count()).toBe(1000);
  });

  test('a body that was cut off inserts nothing', async () => {
    const whole = await native(1000);
    await expect(exec('INSERT INTO t FORMAT Native', whole.subarray(0, whole.length - 10))).rejects.toMatchObject({ code: '33', type: 'CANNOT_READ_ALL_DATA' });
    expect(await count()).toBe(0);
  });

  test('a token makes it single', async () => {
    const block = await native(1000);
    for (const token of ['a', 'a', 'b']) await exec('INSERT INTO t FORMAT Native', block, { insert_deduplication_token: token });
    expect(await count()).toBe(2000);
  });
});

test('insert() of rows, of a stream, and of nothing', async () => {
  await client.insert({ table: 't', values: [{ id: 1 }, { id: 2 }], format: 'JSONEachRow' });
  await client.insert({ table: 't', values: Readable.from([{ id: 3 }, { id: 4 }]), format: 'JSONEachRow' });
  expect(await client.insert({ table: 't', values: [], format: 'JSONEachRow' })).toMatchObject({ executed: false });
  await client.insert({ table: 't', values: Readable.from([]), format: 'JSONEachRow' });
  expect(await count()).toBe(4);
});

test.each<[string, string]>([
  ['JSONEachRow', '{"id":1}\n{"id":2}\n'],
  ['JSONCompactEachRowWithNamesAndTypes', '["id","kind"]\n["UInt64","LowCardinality(String)"]\n[1,"a"]\n[2,"b"]\n'],
  ['JSON', '{"meta":[{"name":"id","type":"UInt64"}],"data":[{"id":1},{"id":2}]}'],
  ['CSVWithNames', 'id,text\n1,"a ""quoted"" one\n"\n2,b\n'],
  ['TabSeparated', '1\t2026-02-03 04:05:06.789\tk\ta\\tb\n2\t2026-02-03 04:05:06.789\tk\tc\n'],
  ['Values', "(1, '2026-02-03 04:05:06.789', 'k', 'it''s'), (2, now64(3), 'k', lower('X'))"],
])('format %s', async (format, body) => {
  await exec(`INSERT INTO t FORMAT ${format}`, body);
  expect(await rows(client, 'SELECT id::UInt8 AS id FROM t ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }]);
});

test('inline VALUES, and INSERT ... SELECT', async () => {
  await client.command({ query: "INSERT INTO t (id, text) VALUES (1, 'FORMAT Native'), (2, '; DROP TABLE t')" });
  await client.command({ query: 'INSERT INTO t (id) SELECT number + 10 FROM numbers(5)' });
  expect(await count()).toBe(7);
});

test('what is wrong with a row is told, and none of the insert is there', async () => {
  const body = `${'{"id":1}\n'.repeat(500)}{"id":"x"}\n`;
  await expect(exec('INSERT INTO t FORMAT JSONEachRow', body)).rejects.toMatchObject({ code: '27', message: expect.stringContaining('at row') });
  expect(await count()).toBe(0);
});

test('an acknowledged insert is readable at once, also by others', async () => {
  const other = ch.connect();
  for (let id = 1; id <= 20; id += 1) {
    await client.insert({ table: 't', values: [{ id }], format: 'JSONEachRow' });
    expect(await rows(other, 'SELECT toUInt32(count()) AS n FROM t')).toEqual([{ n: id }]);
  }
});

test('inserts at the same time lose nothing', async () => {
  const block = await native(1000);
  await Promise.all(Array.from({ length: 20 }, (_, n) => exec('INSERT INTO t FORMAT Native', block, { insert_deduplication_token: `${n}` })));
  expect(await count()).toBe(20_000);
});

test('a body of 300 MB stays within bounded memory', async () => {
  await client.command({ query: 'CREATE TABLE big (id UInt64, text String) ENGINE = Null' });
  const line = Buffer.from(`${JSON.stringify({ id: 1, text: 'x'.repeat(970) })}\n`.repeat(1000));
  const before = residentMib(ch.engine.pid ?? 0);
  let peak = before;
  const body = Readable.from(
    (function* lines() {
      for (let chunk = 0; chunk < 300; chunk += 1) {
        if (chunk % 20 === 0) peak = Math.max(peak, residentMib(ch.engine.pid ?? 0));
        yield line;
      }
    })(),
    { objectMode: false },
  );
  const { stream, summary } = await client.exec({ query: 'INSERT INTO big FORMAT JSONEachRow', values: body, clickhouse_settings: { max_insert_block_size: '10000', min_insert_block_size_rows: '10000' } });
  await buffer(stream);
  expect(summary).toMatchObject({ written_rows: '300000' });
  expect(peak - before).toBeLessThan(250);
});
