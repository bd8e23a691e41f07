import { randomUUID } from 'node:crypto';
import { ClickHouseError, TupleParam, type ClickHouseClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rows, startTestEngine, until, type TestEngine } from './testing.ts';

let ch: TestEngine;
let client: ClickHouseClient;
beforeAll(async () => {
  ch = await startTestEngine();
  client = ch.connect();
});
afterAll(() => ch[Symbol.asyncDispose]());

const post = (query: string, parameters: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${ch.engine.url}/?${new URLSearchParams(parameters)}`, {
    method: 'POST',
    body: query,
    headers: { authorization: ch.authorization, ...headers },
  });

test('ping, with and without a query', async () => {
  expect(await client.ping()).toEqual({ success: true });
  expect(await client.ping({ select: true })).toEqual({ success: true });
});

describe('parameters', () => {
  const nasty = 'it\'s "quoted"\t\\t \n\\n \0 \\0 \b \f \r \\ {a:String} -- /* \u{1f511} \u00e9 $1 ?';
  test.each<[string, unknown, unknown]>([
    ['String', nasty, nasty],
    ['String', '', ''],
    ['Nullable(String)', null, null],
    ['Nullable(String)', 'NULL', 'NULL'],
    ['Array(String)', [nasty, '', "'"], [nasty, '', "'"]],
    ['Array(Array(Int8))', [[1, 2], []], [[1, 2], []]],
    ['Map(String, Array(String))', { [nasty]: [nasty] }, { [nasty]: [nasty] }],
    ['Tuple(Int8, String)', new TupleParam([1, nasty]), [1, nasty]],
    ['Int64', -(2n ** 63n), '-9223372036854775808'],
    ['UInt256', 2n ** 256n - 1n, (2n ** 256n - 1n).toString()],
    ['Float64', 1.5e300, 1.5e300],
    ['Decimal(38, 10)', '1234567890123456789012345678.0123456789', '1234567890123456789012345678.0123456789'],
    ['Bool', true, true],
    ['Date', '2026-02-03', '2026-02-03'],
    ["DateTime('UTC')", new Date('2026-02-03T04:05:06Z'), '2026-02-03 04:05:06'],
    ["DateTime64(9, 'UTC')", '2026-02-03 04:05:06.123456789', '2026-02-03 04:05:06.123456789'],
    ['UUID', '61f0c404-5cb3-11e7-907b-a6006ad3dba0', '61f0c404-5cb3-11e7-907b-a6006ad3dba0'],
    ['IPv4', '10.1.2.3', '10.1.2.3'],
    ["Enum('a' = 1, 'b''c' = 2)", "b'c", "b'c"],
    ['LowCardinality(String)', nasty, nasty],
  ])('of type %s (%#)', async (type, given, expected) => {
    expect(
      await rows(client, `SELECT {v:${type}} AS v SETTINGS output_format_json_quote_64bit_integers = 1, output_format_json_quote_decimals = 1`, {
        query_params: { v: given },
      }),
    ).toEqual([{ v: expected }]);
  });

  test('Identifier: a name, whatever is in it', async () => {
    await client.command({ query: 'CREATE TABLE {name:Identifier} (n UInt8) ENGINE = Memory', query_params: { name: 'odd`; DROP' } });
    expect(await rows(client, 'SELECT name FROM system.tables WHERE name = {name:String}', { query_params: { name: 'odd`; DROP' } })).toHaveLength(1);
  });

  test('bind to their own request, many at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) => rows(client, 'SELECT {n:UInt32} AS n, sleep({s:Float64}) AS slept', { query_params: { n, s: n % 10 === 0 ? 0.05 : 0 } })),
    );
    expect(answers.flat()).toEqual(Array.from({ length: 100 }, (_, n) => ({ n, slept: 0 })));
  });

  test('too long for a URL, in a multipart body', async () => {
    const multipart = ch.connect({ use_multipart_params: true });
    const ids = Array.from({ length: 20_000 }, (_, id) => id);
    expect(
      await rows(multipart, 'SELECT toUInt32(count()) AS n, {s:String} AS s FROM numbers(50000) WHERE number IN {ids:Array(UInt64)}', { query_params: { ids, s: nasty } }),
    ).toEqual([{ n: 20_000, s: nasty }]);
  });

  test('a missing one is told', async () => {
    await expect(rows(client, 'SELECT {absent:String}')).rejects.toMatchObject({ code: '456', type: 'UNKNOWN_QUERY_PARAMETER' });
  });
});

test('settings are of one request only', async () => {
  const limited = ch.connect({ max_open_connections: 1 });
  const query = "SELECT name, value FROM system.settings WHERE changed AND name IN ('max_threads', 'max_block_size') ORDER BY name";
  expect(await rows(limited, query, { clickhouse_settings: { max_threads: 3, max_block_size: '77' } })).toEqual([
    { name: 'max_block_size', value: '77' },
    { name: 'max_threads', value: '3' },
  ]);
  expect(await rows(limited, query)).toEqual([]);
});

test('an unknown setting is refused', async () => {
  const refused = rows(client, 'SELECT 1', { clickhouse_settings: { no_such_setting: 1 } });
  await expect(refused).rejects.toMatchObject({ code: '115', type: 'UNKNOWN_SETTING' });
});

describe('sessions', () => {
  test('keep temporary tables and SET, for themselves', async () => {
    const session_id = randomUUID();
    await client.command({ query: 'CREATE TEMPORARY TABLE mine (n UInt8)', session_id });
    await client.insert({ table: 'mine', values: [{ n: 5 }], format: 'JSONEachRow', session_id });
    await client.command({ query: 'SET max_threads = 3', session_id });
    expect(await rows(client, "SELECT n, getSetting('max_threads')::UInt8 AS threads FROM mine", { session_id })).toEqual([{ n: 5, threads: 3 }]);
    await expect(rows(client, 'SELECT n FROM mine')).rejects.toMatchObject({ code: '60' });
    await expect(rows(client, 'SELECT n FROM mine', { session_id: randomUUID() })).rejects.toMatchObject({ code: '60' });
  });

  test('are locked while in use', async () => {
    const session_id = randomUUID();
    const slow = rows(client, 'SELECT sleep(1)', { session_id });
    await until(
      () => rows<{ n: number }>(client, "SELECT toUInt8(count()) AS n FROM system.processes WHERE query LIKE 'SELECT sleep(1)%'"),
      ([answer]) => answer?.n === 1,
    );
    await expect(rows(client, 'SELECT 1', { session_id })).rejects.toMatchObject({ code: '373', type: 'SESSION_IS_LOCKED' });
    await slow;
  });

  test('session_check wants an existing one', async () => {
    const answer = await post('SELECT 1', { session_id: randomUUID(), session_check: '1' });
    expect(answer.headers.get('x-clickhouse-exception-code')).toBe('372');
    expect(await answer.text()).toContain('(SESSION_NOT_FOUND)');
  });
});

describe('answers carry', () => {
  test('the query id, given or made', async () => {
    const query_id = randomUUID();
    expect((await client.query({ query: 'SELECT 1', query_id })).query_id).toBe(query_id);
    expect((await post('SELECT 1')).headers.get('x-clickhouse-query-id')).toMatch(/^[0-9a-f-]{36}$/u);
    expect((await post('SELECT 1', { query_id })).headers.get('x-clickhouse-query-id')).toBe(query_id);
  });

  test('format, timezone and name', async () => {
    const { headers } = await post('SELECT 1 FORMAT JSONCompact');
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-clickhouse-format': 'JSONCompact',
      'x-clickhouse-timezone': 'UTC',
      'x-clickhouse-server-display-name': 'agent-audit embedded',
      'content-type': 'application/json; charset=UTF-8',
    });
  });

  test('a summary that is right', async () => {
    await client.command({ query: 'CREATE TABLE summed (n UInt64) ENGINE = MergeTree ORDER BY n' });
    const inserted = await client.insert({ table: 'summed', values: Array.from({ length: 1000 }, (_, n) => ({ n })), format: 'JSONEachRow' });
    expect(inserted.summary).toMatchObject({ written_rows: '1000', written_bytes: '8000' });
    const selected = await post('SELECT sum(n) FROM summed WHERE n >= 0', { wait_end_of_query: '1' });
    expect(JSON.parse(selected.headers.get('x-clickhouse-summary') ?? '')).toMatchObject({
      read_rows: '1000',
      read_bytes: '8000',
      total_rows_to_read: '1000',
      result_rows: '1',
      elapsed_ns: expect.stringMatching(/^[1-9]\d*$/u),
    });
    const commanded = await client.command({ query: 'INSERT INTO summed SELECT number FROM numbers(50)' });
    expect(commanded.summary).toMatchObject({ read_rows: '50', written_rows: '50' });
  });
});

describe('errors have the code, type and status of a server', () => {
  test.each([
    ['SELECT * FROM no_such_table', '60', 'UNKNOWN_TABLE', 404],
    ['SELECT no_such_column', '47', 'UNKNOWN_IDENTIFIER', 404],
    ['SELECT no_such_function()', '46', 'UNKNOWN_FUNCTION', 404],
    ['SELECT * FROM no_such_database.t', '81', 'UNKNOWN_DATABASE', 404],
    ['selec 1', '62', 'SYNTAX_ERROR', 400],
    ['SELECT 1; SELECT 2', '62', 'SYNTAX_ERROR', 400],
    ["SELECT toUInt8('x')", '6', 'CANNOT_PARSE_TEXT', 400],
    ["SELECT throwIf(1, 'no')", '395', 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO', 500],
    ['SELECT 1 FORMAT NoSuchFormat', '73', 'UNKNOWN_FORMAT', 404],
  ])('%s', async (query, code, type, status) => {
    const error = await client.command({ query }).catch((refusal: unknown) => refusal);
    expect(error).toBeInstanceOf(ClickHouseError);
    expect(error).toMatchObject({ code, type });
    const answer = await post(query);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('x-clickhouse-exception-code')).toBe(code);
    expect(await answer.text()).toMatch(new RegExp(`^Code: ${code}\\. DB::Exception: .*\\(${type}\\) \\(version \\d+\\.[^)]+\\)`, 'su'));
  });

  test('an unknown role', async () => {
    await expect(client.query({ query: 'SELECT 1', role: 'nobody' })).rejects.toMatchObject({ code: '511', type: 'UNKNOWN_ROLE' });
  });
});

describe('formats', () => {
  test.each([
    ['CSVWithNames', '"a","b"\n'],
    ['TabSeparatedWithNamesAndTypes', 'a\tb\nUInt64\tString\n'],
    ['JSONCompactEachRowWithNames', '["a", "b"]\n'],
  ])('%s has its header also without rows', async (format, expected) => {
    const answer = await post(`SELECT number AS a, 'x' AS b FROM numbers(1) WHERE a > 1 FORMAT ${format}`);
    expect(await answer.text()).toBe(expected);
  });

  test('JSON over many blocks is one document', async () => {
    const result = await client.query({ query: 'SELECT number FROM numbers(300000)', format: 'JSON' });
    const document = await result.json<{ number: string }>();
    expect(document).toMatchObject({ rows: 300_000, meta: [{ name: 'number', type: 'UInt64' }] });
    expect(document.data).toHaveLength(300_000);
  });

  test('Parquet over many blocks is one file', async () => {
    const parquet = Buffer.from(await (await post('SELECT number FROM numbers(300000) FORMAT Parquet')).arrayBuffer());
    await client.command({ query: 'CREATE TABLE from_parquet (number UInt64) ENGINE = Memory' });
    const answer = await fetch(`${ch.engine.url}/?query=INSERT%20INTO%20from_parquet%20FORMAT%20Parquet`, {
      method: 'POST',
      body: parquet,
      headers: { authorization: ch.authorization },
    });
    expect(answer.status).toBe(200);
    expect(await rows(client, 'SELECT toUInt32(count()) AS n, toUInt32(uniq(number) > 290000) AS distinct FROM from_parquet')).toEqual([{ n: 300_000, distinct: 1 }]);
  });

  test('JSONEachRowWithProgress', async () => {
    const result = await client.query({ query: 'SELECT 1 AS one', format: 'JSONEachRowWithProgress' });
    expect(await result.json()).toContainEqual({ row: { one: 1 } });
  });

  test('default_format, and FORMAT in the statement before it', async () => {
    expect(await (await post('SELECT 1 AS a', { default_format: 'JSONEachRow' })).text()).toBe('{"a":1}\n');
    expect(await (await post('SELECT 1 AS a FORMAT CSV', { default_format: 'JSONEachRow' })).text()).toBe('1\n');
  });
});

test('gzip both ways', async () => {
  const zipped = ch.connect({ compression: { request: true, response: true } });
  await zipped.command({ query: 'CREATE TABLE zipped (s String) ENGINE = MergeTree ORDER BY s' });
  await zipped.insert({ table: 'zipped', values: [{ s: 'x'.repeat(10_000) }], format: 'JSONEachRow' });
  expect(await rows(zipped, 'SELECT length(s)::UInt32 AS n, s FROM zipped')).toEqual([{ n: 10_000, s: 'x'.repeat(10_000) }]);
  const answer = await post("SELECT repeat('x', 10000)", { enable_http_compression: '1' }, { 'accept-encoding': 'gzip' });
  expect(answer.headers.get('content-encoding')).toBe('gzip');
});

test('the database parameter', async () => {
  await client.command({ query: 'CREATE DATABASE other' });
  const other = ch.connect({ database: 'other' });
  await other.command({ query: 'CREATE TABLE t (n UInt8) ENGINE = Memory' });
  expect(await rows(other, 'SELECT currentDatabase() AS d, database AS t FROM system.tables WHERE name = {t:String}', { query_params: { t: 't' } })).toContainEqual({
    d: 'other',
    t: 'other',
  });
  await expect(rows(ch.connect({ database: 'absent' }), 'SELECT 1')).rejects.toMatchObject({ code: '81' });
});

test.each([
  ['-- comment\nSELECT 1 AS n -- end', 1],
  ['/* comment; */ SELECT 1 AS n;', 1],
  ['WITH 1 AS x SELECT x AS n', 1],
  ['(SELECT 1 AS n) UNION ALL (SELECT 2)', 2],
  ['EXPLAIN SYNTAX SELECT 1', 2],
  ["SHOW DATABASES LIKE 'default'", 1],
  ['DESCRIBE TABLE system.one', 1],
  ['EXISTS system.one', 1],
  ["SELECT 'INSERT INTO x FORMAT Native' AS n SETTINGS max_threads = 1", 1],
])('%s', async (query, count) => {
  const result = await client.query({ query, format: 'JSONEachRow' });
  expect(await result.json()).toHaveLength(count);
});

test('columns of rich types come and go', async () => {
  await client.command({
    query: `CREATE TABLE rich (
      id UInt8, json JSON, variant Variant(UInt64, String, Array(UInt64)), dynamic Dynamic,
      map Map(String, UInt64), tuple Tuple(a UInt8, b String), nested Nested(k String, v UInt8),
      decimal Decimal(38, 10), big UInt256, time DateTime64(9, 'UTC'), time_of_day Time64(3)
    ) ENGINE = MergeTree ORDER BY id`,
  });
  const row = {
    id: 1,
    json: { a: { b: '1' }, c: [1, 2] },
    variant: [1, 2],
    dynamic: 'text',
    map: { k: 5 },
    tuple: { a: 1, b: 'x' },
    'nested.k': ['x'],
    'nested.v': [1],
    decimal: '1.5',
    big: (2n ** 200n).toString(),
    time: '2026-02-03 04:05:06.123456789',
    time_of_day: '12:34:56.789',
  };
  await client.insert({ table: 'rich', values: [row], format: 'JSONEachRow' });
  expect(
    await rows(client, 'SELECT * REPLACE (toString(big) AS big) FROM rich', { clickhouse_settings: { output_format_json_quote_decimals: 1 } }),
  ).toEqual([row]);
});

test('KILL QUERY', async () => {
  const query_id = randomUUID();
  const killed = client.query({ query: 'SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))', query_id }).catch((error: unknown) => error);
  await until(() => rows(client, 'SELECT 1 FROM system.processes WHERE query_id = {query_id:String}', { query_params: { query_id } }), (found) => found.length === 1);
  await client.command({ query: 'KILL QUERY WHERE query_id = {query_id:String} SYNC', query_params: { query_id } });
  expect(await killed).toMatchObject({ code: '394', type: 'QUERY_WAS_CANCELLED' });
});

test('what ran is in system.query_log', async () => {
  const { query_id } = await client.query({ query: 'SELECT 42' }).then(async (result) => {
    await result.text();
    return result;
  });
  await client.command({ query: 'SYSTEM FLUSH LOGS' });
  expect(
    await rows(client, "SELECT toUInt8(read_rows) AS n, query FROM system.query_log WHERE query_id = {query_id:String} AND type = 'QueryFinish'", { query_params: { query_id } }),
  ).toEqual([{ n: 1, query: expect.stringContaining('SELECT 42') }]);
});

test('a traceparent is followed into system.opentelemetry_span_log', async () => {
  const trace = randomUUID().replaceAll('-', '');
  await (await post('SELECT 42', {}, { traceparent: `00-${trace}-${trace.slice(16)}-01` })).text();
  await client.command({ query: 'SYSTEM FLUSH LOGS' });
  expect(
    await rows(client, 'SELECT toUInt8(count() > 0) AS found FROM system.opentelemetry_span_log WHERE lower(hex(trace_id)) = {trace:String}', { query_params: { trace } }),
  ).toEqual([{ found: 1 }]);
});

test('a slow query holds up no other', async () => {
  const slow = rows(client, 'SELECT sleep(2)');
  let done = false;
  void slow.then(() => (done = true));
  const many = ch.connect({ max_open_connections: 50 });
  const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => rows(many, 'SELECT {n:UInt32} AS n', { query_params: { n } })));
  expect(answers.flat()).toEqual(Array.from({ length: 200 }, (_, n) => ({ n })));
  expect(done).toBe(false);
  await slow;
});
