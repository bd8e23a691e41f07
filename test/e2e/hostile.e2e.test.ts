import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { createHash } from 'node:crypto';
import type { AuditEvent } from '@agent-audit/schemas';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { at, between, dataAccess, DAY, EVER, ndjson, NOON, SECOND, toolCall } from '../support/events.ts';
import type { Answer } from '../support/http.ts';
import { lines, startService, type PostOptions, type TestService } from '../support/service.ts';
import { speak } from '../support/socket.ts';
import type { Tenant } from '../support/tenant.ts';
import { until } from '../support/until.ts';

let service: TestService;
let tenant: Tenant;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const json = (event: AuditEvent): string => JSON.stringify(event);

/** What the tenant at hand should hold by now. */
let expected: string[] = [];

/** The service is well: it takes the next event. What else it was given meanwhile was accepted too. */
async function isWell(accepted: readonly string[] = []): Promise<void> {
  const event = json(toolCall({ time: at(NOON - SECOND) }));
  expect((await tenant.post(event)).json()).toEqual({ accepted: 1, duplicates: 0, rejected: [] });
  expected.push(event, ...accepted);
}

/** For a group of attacks: a tenant of its own, that must hold in the end what was accepted, and nothing more. */
function withOwnTenant(): void {
  beforeAll(async () => {
    tenant = await service.newTenant();
    expected = [];
  });
  afterAll(async () => {
    const shown = await until(() => tenant.everything(), ({ length }) => length >= expected.length);
    expect(shown.map(({ raw }) => raw).toSorted()).toEqual(expected.toSorted());
  });
}

function expectProblem(answer: Answer, status: number, code: string): void {
  expect({ status: answer.status, body: answer.text }).toEqual({ status, body: expect.any(String) });
  expect(answer.headers['content-type']).toContain('application/problem+json');
  expect(answer.json()).toMatchObject({ type: expect.any(String), title: expect.any(String), status, code, detail: expect.stringMatching(/.{20}/) });
}

/** An event whose text is easily put together: everything but what is given. */
function text(fields: string, id = 'hostile'): string {
  return `{"event_id":"${id}","time":"2026-03-01T12:00:00Z","kind":"tool_call","agent":{"id":"a"},"tool":{"name":"t"},"action":"read","outcome":{"status":"success"}${fields}}`;
}

function broken(bytes: Buffer, index: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length + index] = (copy[copy.length + index] as number) ^ 0xff;
  return copy;
}

describe('bodies that are broken as a whole: 400, and nothing is recorded', () => {
  withOwnTenant();

  const good = text('');
  interface Case {
    readonly body: string | Uint8Array;
    readonly options?: PostOptions;
    readonly code: string;
    readonly at?: { readonly line: number; readonly column: number; readonly offset: number };
  }
  const cases: Readonly<Record<string, Case>> = {
    'a single event that is cut off': { body: '{"event_id": "x",\n  "time": ', code: 'malformed_json', at: { line: 2, column: 11, offset: 28 } },
    'a single event with a trailing comma': { body: '{\n"event_id": "x",\n}', code: 'malformed_json', at: { line: 3, column: 1, offset: 19 } },
    'a single event with single quotes': { body: "{'event_id': 'x'}", code: 'malformed_json', at: { line: 1, column: 2, offset: 1 } },
    'NaN': { body: `\n\n${text(',"duration_ms":NaN')}`, code: 'malformed_json', at: { line: 3, column: text(',"duration_ms":').length, offset: text(',"duration_ms":').length + 1 } },
    'two events without a list around them': { body: `${good}\n${good}`, code: 'malformed_json', at: { line: 2, column: 1, offset: good.length + 1 } },
    'an array broken in its second element': { body: `[${good},\n {"event_id" 1}]`, code: 'malformed_json', at: { line: 2, column: 14, offset: good.length + 16 } },
    'an array that is not closed': { body: `[${good},\n${good}`, code: 'malformed_json', at: { line: 2, column: good.length + 1, offset: 2 * good.length + 3 } },
    'an array with more behind it': { body: `[${good}]\n]`, code: 'malformed_json', at: { line: 2, column: 1, offset: good.length + 3 } },
    'columns count bytes': { body: `["é😀",\n"é😀" x]`, code: 'malformed_json', at: { line: 2, column: 10, offset: 20 } },
    'invalid UTF-8 in a single event': { body: Buffer.from(text(',"session_id":"\xff"'), 'latin1'), code: 'invalid_utf8', at: { line: 1, column: text(',"session_id":"').length, offset: text(',"session_id":"').length - 1 } },
    'an overlong UTF-8 form': { body: Buffer.from(text(',"session_id":"\xc0\xaf"'), 'latin1'), code: 'invalid_utf8' },
    'a surrogate in UTF-8': { body: Buffer.from(text(',"attributes":{"a":"\xed\xa0\x80"}'), 'latin1'), code: 'invalid_utf8' },
    'UTF-16': { body: Buffer.from(good, 'utf16le'), code: 'malformed_json' },
    'a NUL behind the event': { body: `${good}\0`, code: 'malformed_json' },
    'a raw control character in a string': { body: text(',"session_id":"a\u0001"'), code: 'malformed_json' },
    'only white space': { body: ' \n\t', code: 'malformed_json' },
    'no body at all': { body: '', code: 'empty_body' },
    'an empty array': { body: '[]', code: 'empty_body' },
    'an empty array with spaces': { body: ' [ \n ] ', code: 'empty_body' },
    'lines of nothing': { body: '\n\r\n  \n', options: { type: 'application/x-ndjson' }, code: 'empty_body' },
    'an empty batch': { body: '[]', options: { type: 'application/cloudevents-batch+json' }, code: 'empty_body' },
    '100,000 brackets, none closed': { body: '['.repeat(100_000), code: 'malformed_json' },
    '1,000,000 braces in an array': { body: `[${'{"a":'.repeat(1_000_000)}`, code: 'malformed_json' },
    'gzip that is cut off': { body: gzipSync(good.repeat(50)).subarray(0, -20), options: { encoding: 'gzip' }, code: 'malformed_encoding' },
    'gzip whose checksum is wrong': { body: broken(gzipSync(good), -6), options: { encoding: 'gzip' }, code: 'malformed_encoding' },
    'gzip that is none': { body: good, options: { encoding: 'gzip' }, code: 'malformed_encoding' },
    'deflate that is cut off': { body: deflateSync(good.repeat(50)).subarray(0, -20), options: { encoding: 'deflate' }, code: 'malformed_encoding' },
    'br that is cut off': { body: brotliCompressSync(good.repeat(50)).subarray(0, -20), options: { encoding: 'br' }, code: 'malformed_encoding' },
    'zstd that is cut off': { body: zstdCompressSync(good.repeat(50)).subarray(0, -20), options: { encoding: 'zstd' }, code: 'malformed_encoding' },
    'zstd that is none': { body: good, options: { encoding: 'zstd' }, code: 'malformed_encoding' },
  };

  test.each(Object.entries(cases))('%s', async (_, { body, options, code, at: where }) => {
    const answer = await tenant.post(body, options);
    expectProblem(answer, 400, code);
    if (where !== undefined) {
      expect(answer.json()).toMatchObject(where);
      expect(answer.json().detail).toContain(`line ${where.line}, column ${where.column}`);
    }
    await isWell();
  });

});

describe('events that are wrong: 422, each with where and why', () => {
  withOwnTenant();

  const cases: Readonly<Record<string, readonly [body: string, path: string, code: string]>> = {
    'an unknown field': [text(',"toolname":"x"'), '/toolname', 'unknown_field'],
    'an unknown nested field': ['{"event_id":"hostile","time":"2026-03-01T12:00:00Z","kind":"tool_call","agent":{"id":"a","nmae":"x"},"tool":{"name":"t"},"action":"read","outcome":{"status":"success"}}', '/agent/nmae', 'unknown_field'],
    'a missing field': [json(toolCall()).replace(/"action":"[a-z]+",/, ''), '/action', 'required'],
    'tool_call without a tool': [JSON.stringify({ ...toolCall(), tool: undefined }), '/tool', 'kind_needs_tool'],
    'data_access without resources': [JSON.stringify({ ...dataAccess(), resources: undefined }), '/resources', 'kind_needs_resources'],
    'data_access with a tool, but without resources': [JSON.stringify({ ...toolCall(), kind: 'data_access' }), '/resources', 'kind_needs_resources'],
    'data_access with no resource in the list': [json(dataAccess({ resources: [] })), '/resources', 'kind_needs_resources'],
    'the year 9999': [json(toolCall({ time: '9999-12-31T23:59:59Z' })), '/time', 'time_out_of_range'],
    'a nanosecond after the last': [json(toolCall({ time: '2262-04-11T23:47:16.854775808Z' })), '/time', 'time_out_of_range'],
    'a nanosecond before the first': [json(toolCall({ time: '1899-12-31T23:59:59.999999999Z' })), '/time', 'time_out_of_range'],
    'ten fraction digits': [json(toolCall({ time: '2026-03-01T12:00:00.1234567890Z' })), '/time', 'invalid_time'],
    'a time without an offset': [json(toolCall({ time: '2026-03-01T12:00:00' })), '/time', 'invalid_time'],
    'February 30': [json(toolCall({ time: '2026-02-30T12:00:00Z' })), '/time', 'invalid_time'],
    'a leap second': [json(toolCall({ time: '2026-06-30T23:59:60Z' })), '/time', 'invalid_time'],
    '__proto__ at the top': [text(',"__proto__":{"event_id":"x"}'), '/__proto__', 'unknown_field'],
    '__proto__ with an escape': [text(String.raw`,"\u005f_proto__":1`), '/__proto__', 'unknown_field'],
    'constructor at the top': [text(',"constructor":{"prototype":{}}'), '/constructor', 'unknown_field'],
    'a duplicate key': [text(',"action":"delete"'), '/action', 'duplicate_key'],
    'a duplicate key, escaped': [text(String.raw`,"\u0061ction":"delete"`), '/action', 'duplicate_key'],
    'a duplicate key deep in attributes': [text(',"attributes":{"a":[{"b":1,"b":1}]}'), '/attributes/a/0/b', 'duplicate_key'],
    'a lone surrogate in a typed field': [text(String.raw`,"session_id":"\ud83d"`), '/session_id', 'invalid_unicode'],
    'a control character in an id': [text(String.raw`,"session_id":"a\u0000b"`), '/session_id', 'bad_format'],
    'a sequence of 2^63': [text(',"source":{"emitter":"e","sequence":9223372036854775808}'), '/source/sequence', 'too_large'],
    'a sequence of 2^53': [text(',"source":{"emitter":"e","sequence":9007199254740992}'), '/source/sequence', 'too_large'],
    'a negative sequence': [text(',"source":{"emitter":"e","sequence":-1}'), '/source/sequence', 'too_small'],
    'a duration of 1e400': [text(',"duration_ms":1e400'), '/duration_ms', 'too_large'],
    'bytes of 1e400': [text(',"network":{"bytes_out":1e400}'), '/network/bytes_out', 'too_large'],
    'null for a field that was left out': [text(',"session_id":null'), '/session_id', 'wrong_type'],
    'an id of 129 characters': [text('', 'x'.repeat(129)), '/event_id', 'too_long'],
    'an id with SQL in it': [text('', "'; DROP TABLE events; --"), '/event_id', 'bad_format'],
    'an event of 300 KiB': [text(`,"attributes":{"p":"${'x'.repeat(300 * 1024)}"}`), '', 'too_big'],
    'a string': ['"event"', '', 'wrong_type'],
    'null': ['null', '', 'wrong_type'],
    'a number beyond all': ['1e999999', '', 'wrong_type'],
  };

  test.each(Object.entries(cases))('%s', async (_, [body, path, code]) => {
    const answer = await tenant.post(body);
    expect({ status: answer.status, body: answer.json() }).toMatchObject({
      status: 422, body: { accepted: 0, duplicates: 0, rejected: [{ index: 0, errors: expect.arrayContaining([{ path, code, message: expect.stringMatching(/.{10}/) }]) }] },
    });
    await isWell();
    expect(Object.hasOwn(Object.prototype, 'event_id')).toBe(false);
  });

  test('nesting of 65 and of many thousand levels', async () => {
    for (const depth of [65, 100_000, 130_000]) {
      const answer = await tenant.post(text(`,"attributes":{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`));
      expect(answer).toMatchObject({ status: 422 });
      expect(answer.json().rejected).toMatchObject([{ errors: [{ code: 'too_deep' }] }]);
    }
    // An array of one element that is nothing but nesting.
    const answer = await tenant.post('['.repeat(1_000_000) + ']'.repeat(1_000_000));
    expect(answer).toMatchObject({ status: 422 });
    expect(answer.json().rejected).toHaveLength(1);
    await isWell();
  });

  test('an answer never repeats what was sent, only names', async () => {
    const secret = 'sk-very-secret-value';
    const answer = await tenant.post(JSON.stringify({ ...toolCall(), kind: secret, time: secret, action: secret, duration_ms: secret, on_behalf_of: [{ type: secret, id: 'x' }] }));
    expect(answer.status).toBe(422);
    expect(answer.text).not.toContain(secret);
  });

  test('an event with a thousand mistakes gets a bounded answer', async () => {
    const mistakes = Array.from({ length: 1000 }, (_, i) => `"unknown${i}":${i}`).join(',');
    const answer = await tenant.post(`{${mistakes}}`);
    expect(answer.status).toBe(422);
    expect(answer.json().rejected[0].errors.length).toBeLessThanOrEqual(32);
  });
});

describe('one bad event does not cost the others', () => {
  withOwnTenant();

  test('a broken line among 1,000: index and line named, 999 accepted', async () => {
    const events = Array.from({ length: 999 }, () => json(toolCall()));
    const answer = await tenant.post(ndjson([...events.slice(0, 500), '{"event_id":"broken", nonsense}', ...events.slice(500)]), { type: 'application/x-ndjson' });
    expect(answer).toMatchObject({ status: 202 });
    expect(answer.json()).toMatchObject({ accepted: 999, duplicates: 0, rejected: [{ index: 500, errors: [{ code: 'malformed_json', message: expect.stringContaining('line 501') }] }] });
    await isWell(events);
  });

  test('empty lines count as lines, not as events', async () => {
    const event = json(toolCall());
    const answer = await tenant.post(`\n\n${event}\n\nnonsense\n`, { type: 'application/x-ndjson' });
    expect(answer.json()).toMatchObject({ accepted: 1, rejected: [{ index: 1, errors: [{ message: expect.stringContaining('line 5') }] }] });
    await isWell([event]);
  });

  test.each([
    ['an event of 300 KiB', text(`,"attributes":{"p":"${'x'.repeat(300 * 1024)}"}`, 'large'), 'too_big'],
    ['invalid UTF-8', Buffer.from(text(',"session_id":"\xff"', 'utf'), 'latin1'), 'invalid_utf8'],
    ['100,000 levels', text(`,"attributes":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 'deep'), 'too_deep'],
    ['a duplicate key', text(',"kind":"tool_call"', 'twice'), 'duplicate_key'],
    ['year 9999', text('', 'late').replace('2026', '9999'), 'time_out_of_range'],
  ] as const)('%s, in an array and in lines', async (_, bad, code) => {
    const events = [toolCall(), toolCall(), toolCall(), toolCall()];
    const [a, b, c, d] = events.map(json) as [string, string, string, string];
    const inArray = Buffer.concat([Buffer.from(`[${a},`), Buffer.from(bad), Buffer.from(`,${b}]`)]);
    const inLines = Buffer.concat([Buffer.from(`${c}\n`), Buffer.from(bad), Buffer.from(`\n${d}\n`)]);
    for (const answer of [await tenant.post(inArray), await tenant.post(inLines, { type: 'application/x-ndjson' })]) {
      expect(answer).toMatchObject({ status: 202 });
      expect(answer.json()).toMatchObject({ accepted: 2, duplicates: 0, rejected: [{ index: 1, errors: [{ code }] }] });
    }
    await isWell([a, b, c, d]);
  });

  test('1900 and nanoseconds are no mistakes and come back right', async () => {
    const own = await service.newTenant();
    const times = ['1900-01-01T00:00:00Z', '1900-01-01T00:00:00.000000001Z', '1969-12-31T23:59:59.999999999Z', '1970-01-01T00:00:00Z', '2026-03-01T12:00:00.123456789Z', '2262-04-11T23:47:16.854775807Z'];
    const events = times.map((time) => toolCall({ time }));
    await own.record(events.toReversed());
    // The last moment that can be recorded lies outside every half-open window that can be asked for.
    expect((await own.everything()).map(({ event }) => event.time)).toEqual(times.slice(0, -1));
    expect((await own.all('/v1/events?from=1900-01-01T00:00:00Z&to=1900-01-01T00:00:00.000000001Z')).map(({ event }) => event.time)).toEqual(times.slice(0, 1));
  });
});

/** About the smallest event that there is. */
const minimal = (n: number): string => `{"event_id":"${n}","time":"2026-03-01T12:00:00Z","kind":"tool_call","agent":{"id":"a"},"tool":{"name":"t"},"action":"read","outcome":{"status":"success"}}`;

/** Members and frames may follow each other, so a bomb of any size is quickly made. */
const repeated = (compress: (bytes: Buffer) => Buffer): Buffer => Buffer.concat(Array.from<Buffer>({ length: 32 }).fill(compress(Buffer.alloc(32 * 1024 * 1024))));

describe('bodies that are too large: 413', () => {
  withOwnTenant();

  const LIMIT = 16 * 1024 * 1024;
  const body = Buffer.from(ndjson(Array.from({ length: 80 }, (_, i) => text(`,"attributes":{"p":"${'x'.repeat(220 * 1024)}"}`, `big-${i}`))));

  test.each([
    ['17 MiB with an honest Content-Length', body, {}],
    ['17 MiB chunked', body, { headers: { 'transfer-encoding': 'chunked' } }],
    ['17 MiB in 20 KiB of gzip', gzipSync(body), { encoding: 'gzip' }],
    ['17 MiB in zstd', zstdCompressSync(body), { encoding: 'zstd' }],
  ] as const)('%s', async (_, bytes, options) => {
    expect(body.length).toBeGreaterThan(LIMIT);
    const answer = await tenant.post(bytes, { type: 'application/x-ndjson', ...options });
    expectProblem(answer, 413, 'body_too_large');
    expect(answer.json()).toMatchObject({ limit_bytes: LIMIT });
    // The rest of the body is not read, so nothing can follow it; a client that is not told would lose its next request.
    expect(answer.headers.connection).toBe('close');
    await isWell();
  });

  test('a byte less than too much is accepted', async () => {
    const own = await service.newTenant();
    const events = Array.from({ length: 64 }, (_, i) => text(`,"attributes":{"p":"${'x'.repeat(200_000)}"}`, `fits-${i}`));
    const padded = ndjson(events) + ' '.repeat(LIMIT - ndjson(events).length);
    expect((await own.post(padded, { type: 'application/x-ndjson' })).json()).toEqual({ accepted: 64, duplicates: 0, rejected: [] });
    expectProblem(await own.post(`${padded} `, { type: 'application/x-ndjson' }), 413, 'body_too_large');
  });

  test('more lines than one body may have: refused or all accepted, never cut off', async () => {
    const own = await service.newTenant();
    const many = Array.from({ length: 105_000 }, (_, n) => minimal(n));
    const answer = await own.post(ndjson(many), { type: 'application/x-ndjson' });
    if (answer.status === 413) return;
    const { accepted, rejected } = answer.json();
    expect(accepted + rejected.length).toBe(many.length);
  });

  test.each([
    ['gzip', 'a bomb: 1 GiB of zeros', () => repeated(gzipSync)],
    ['zstd', 'a bomb: 1 GiB of zeros', () => repeated(zstdCompressSync)],
    ['br', 'a bomb: 256 MiB of zeros', () => brotliCompressSync(Buffer.alloc(256 * 1024 * 1024), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
  ] as const)('%s: %s, refused quickly and in bounded memory', async (encoding, _, make) => {
    const bomb = make();
    expect(bomb.length).toBeLessThan(2 * 1024 * 1024);
    const before = process.memoryUsage.rss();
    let peak = before;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss());
    }, 5);
    const begin = performance.now();
    const answers = await Promise.all(Array.from({ length: 4 }, () => tenant.post(bomb, { encoding })));
    const ms = performance.now() - begin;
    clearInterval(watch);
    for (const answer of answers) expectProblem(answer, 413, 'body_too_large');
    expect(ms).toBeLessThan(5_000);
    // Four times the limit, and the buffers on the way.
    expect((peak - before) / 1024 / 1024).toBeLessThan(256);
    await isWell();
  });
});

const head = (length: string): string => `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tenant.key}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n`;

describe('Content-Length that lies', () => {
  withOwnTenant();

  const event = text('');

  test('more is announced than comes: nothing of it is recorded', async () => {
    await speak(service.url, `${head(String(event.length + 100))}\r\n${event}`);
    await isWell();
  });

  test('less is announced than comes: the rest is no event', async () => {
    const heard = await speak(service.url, `${head(String(event.length - 10))}\r\n${event}`);
    expect(heard).toMatch(/^HTTP\/1\.1 400 /);
    await isWell();
  });

  test('100 GB are announced: refused before they come', async () => {
    const heard = await speak(service.url, `${head('100000000000')}\r\n${event}`, { end: false, quietMs: 1_000 });
    expect(heard).toMatch(/^HTTP\/1\.1 413 /);
    await isWell();
  });

  test.each(['-1', '1e3', '0x10', '5, 6', '99999999999999999999999999'])('Content-Length: %s', async (length) => {
    expect(await speak(service.url, `${head(length)}\r\n${event}`)).toMatch(/^HTTP\/1\.1 4(00|13) /);
    await isWell();
  });

  test('with Transfer-Encoding beside it, as a smuggler would send', async () => {
    const inner = `GET /v1/events?from=-1h HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tenant.key}\r\n\r\n`;
    const heard = await speak(service.url, `${head('4')}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`);
    expect(heard).toMatch(/^HTTP\/1\.1 400 /);
    expect(heard.match(/HTTP\/1\.1/g)).toHaveLength(1);
    await isWell();
  });

  test('a client that goes away in the middle', async () => {
    await speak(service.url, `${head('5000')}\r\n${event.slice(0, 50)}`, { end: false, quietMs: 100 });
    await isWell();
  });
});

describe('media types and encodings: 415', () => {
  withOwnTenant();

  test.each([undefined, '', 'text/plain', 'application/xml', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded', 'application/jsonx', 'json', '*/*', 'application/json,application/x-ndjson'])('Content-Type %s', async (type) => {
    const headers = type === undefined ? {} : { 'content-type': type };
    const answer = await service.send('/v1/events', { method: 'POST', key: tenant.key, body: text(''), headers });
    expectProblem(answer, 415, 'unsupported_media_type');
    expect(answer.json().detail).toContain('application/json');
    await isWell();
  });

  test.each(['lzma', 'gzip, gzip', 'gzip,br', 'compress', '__proto__', 'constructor', 'toString'])('Content-Encoding %s', async (encoding) => {
    const answer = await tenant.post(text(''), { encoding });
    expectProblem(answer, 415, 'unsupported_encoding');
    expect(answer.json().detail).toContain('gzip');
    await isWell();
  });
});

const ask = (authorization: string | string[] | undefined): Promise<Answer> =>
  service.send('/v1/events?from=-1h', authorization === undefined ? {} : { headers: { authorization } });

describe('credentials', () => {
  withOwnTenant();

  test.each([
    undefined, '', 'Bearer', 'Bearer ', 'Basic YWRtaW46YWRtaW4=', 'Bearer a b', 'Bearer\ta', 'Token abcdefgh', 'Bearer: abcdefgh', `Bearer ${'x'.repeat(513)}`,
    'Bearer wrong-key-of-a-plausible-length-000000000000', `bearer ${'0'.repeat(43)}`, "Bearer '%20OR%201=1--", 'Bearer __proto__',
  ])('Authorization: %s', async (authorization) => {
    const answer = await ask(authorization);
    expectProblem(answer, 401, 'unauthenticated');
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer /);
    const posted = await service.send('/v1/events', { method: 'POST', body: text(''), headers: { 'content-type': 'application/json', ...(authorization === undefined ? {} : { authorization }) } });
    expectProblem(posted, 401, 'unauthenticated');
    await isWell();
  });

  test('the key without its scheme, in the query, or as another header', async () => {
    expectProblem(await ask(tenant.key), 401, 'unauthenticated');
    expectProblem(await service.send(`/v1/events?from=-1h&key=${tenant.key}`), 401, 'unauthenticated');
    expectProblem(await service.send('/v1/events?from=-1h', { headers: { 'x-api-key': tenant.key } }), 401, 'unauthenticated');
    // Cut by a character, one more, another case.
    for (const wrong of [tenant.key.slice(0, -1), `${tenant.key}x`, tenant.key.toUpperCase()]) expectProblem(await ask(`Bearer ${wrong}`), 401, 'unauthenticated');
  });

  test('the scheme in any case, as RFC 9110 has it', async () => {
    expect((await ask(`bEaReR   ${tenant.key}`)).status).toBe(200);
  });

  test('a key that has expired', async () => {
    const expiresAt = new Date(Date.now() + 700).toISOString();
    const key = await service.newKey({ tenant: tenant.name, expiresAt });
    expect((await service.get('/v1/agents', key)).status).toBe(200);
    const answer = await until(() => service.get('/v1/agents', key), ({ status }) => status !== 200);
    expectProblem(answer, 401, 'unauthenticated');
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expiresAt));
    expectProblem(await service.post(text(''), { key }), 401, 'unauthenticated');
    await isWell();
  });

  test('a key that was revoked stops at once', async () => {
    const made = (await service.post(JSON.stringify({ name: 'soon gone', tenant: tenant.name, scopes: ['events:write', 'events:read'] }), { path: '/v1/keys' })).json();
    expect((await service.get('/v1/agents', made.secret)).status).toBe(200);
    expect((await service.send(`/v1/keys/${made.id}?tenant=${tenant.name}`, { method: 'DELETE', key: service.adminKey })).status).toBe(204);
    expectProblem(await service.get('/v1/agents', made.secret), 401, 'unauthenticated');
    expectProblem(await service.post(text(''), { key: made.secret }), 401, 'unauthenticated');
    await isWell();
  });

  test('a key without the scope', async () => {
    const reader = await service.newKey({ tenant: tenant.name, scopes: ['events:read'] });
    const writer = await service.newKey({ tenant: tenant.name, scopes: ['events:write'] });
    const refused = await service.post(text(''), { key: reader });
    expectProblem(refused, 403, 'forbidden');
    expect(refused.json().detail).toContain('events:write');
    expectProblem(await service.get('/v1/events?from=-1h', writer), 403, 'forbidden');
    await isWell();
  });

  test('a key of another tenant', async () => {
    const other = await service.newTenant();
    const event = toolCall({ agent: { id: 'agent:of-another' } });
    await other.record([event]);
    expectProblem(await tenant.get(`/v1/events/${event.event_id}`), 404, 'not_found');
    expect((await tenant.page(`/v1/events?${EVER}&agent_id=agent:of-another`)).events).toEqual([]);
    await isWell();
  });

  test('a refused body is not even read', async () => {
    expectProblem(await service.post(gzipSync(Buffer.alloc(64 * 1024 * 1024)), { key: 'nobody'.padEnd(40, 'x'), encoding: 'gzip' }), 401, 'unauthenticated');
    await isWell();
  });
});

describe('questions that make no sense: 400', () => {
  withOwnTenant();

  const wrong: readonly (readonly [query: string, path: string, detail: RegExp])[] = [
    ['', '/from', /required/],
    ['from=', '/from', /required/],
    ['to=now', '/from', /required/],
    ['from=yesterday', '/from', /RFC 3339/],
    ['from=2026-03-01', '/from', /RFC 3339/],
    ['from=2026-03-01T00:00:00', '/from', /offset/],
    ['from=1772366400', '/from', /RFC 3339/],
    ['from=-1y', '/from', /-15m/],
    ['from=1h', '/from', /-15m/],
    ['from=-99999999999w', '/from', /1900/],
    ['from=-1h&to=tomorrow', '/to', /RFC 3339/],
    ['from=-1h&to=', '/to', /RFC 3339/],
    ['from=-1h&to=9999-01-01T00:00:00Z', '/to', /2262/],
    ['from=now&to=now', '/from', /before `to`/],
    ['from=now', '/from', /before `to`/],
    ['from=2026-03-01T12:00:01Z&to=2026-03-01T12:00:00Z', '/from', /before `to`/],
    ['from=2026-03-01T12:00:00Z&to=2026-03-01T13:00:00%2B01:00', '/from', /before `to`/],
    ['from=-1h&from=-2h', '/from', /once/],
    ['from=-1h&limit=0', '/limit', /1 to 1000/],
    ['from=-1h&limit=-1', '/limit', /1 to 1000/],
    ['from=-1h&limit=1001', '/limit', /1 to 1000/],
    ['from=-1h&limit=abc', '/limit', /whole number/],
    ['from=-1h&limit=1.5', '/limit', /whole number/],
    ['from=-1h&limit=1e2', '/limit', /whole number/],
    ['from=-1h&limit=', '/limit', /whole number/],
    ['from=-1h&limit=5&limit=6', '/limit', /once/],
    ['from=-1h&order=up', '/order', /asc or desc/],
    ['from=-1h&order=ASC', '/order', /asc or desc/],
    ['from=-1h&offset=10', '/offset', /unknown/],
    ['from=-1h&outcom=success', '/outcom', /did you mean `outcome`/],
    ['from=-1h&tenant=default', '/tenant', /unknown/],
    ['from=-1h&-from=-1h', '/-from', /negated/],
    ['from=-1h&--tool=x', '/--tool', /unknown/],
    ['from=-1h&tool=', '/tool', /empty/],
    ['from=-1h&kind=toolcall', '/kind', /tool_call, data_access/],
    ['from=-1h&action=drop', '/action', /invoke/],
    ['from=-1h&-outcome=ok', '/-outcome', /success/],
    [`from=-1h&resource=${'x'.repeat(8193)}`, '/resource', /8192/],
    [`from=-1h${'&tool=x'.repeat(3)}${Array.from({ length: 1001 }, (_, i) => `&tool=${i}`).join('')}`, '/tool', /1000/],
    ['from=-1h&__proto__=x', '/__proto__', /unknown/],
    ['from=-1h&constructor=x', '/constructor', /unknown/],
  ];

  test.each(wrong)('%s', async (query, path, detail) => {
    for (const route of ['/v1/events', '/v1/agents/agent:billing/timeline']) {
      const answer = await tenant.get(`${route}?${query}`);
      expectProblem(answer, 400, 'invalid_parameter');
      expect(answer.json().detail).toMatch(detail);
      expect(answer.json().errors).toContainEqual({ path, code: expect.any(String), message: expect.any(String) });
    }
  });

  test('agent_id beside the agent in the path', async () => {
    expectProblem(await tenant.get('/v1/agents/a/timeline?from=-1h&agent_id=b'), 400, 'invalid_parameter');
  });

  test.each(['limit=0', 'limit=1001', 'limit=abc', 'limit=', 'limit=1e2', 'limit=+1', 'limit=0x5', 'limit=5&limit=6', 'order=up', 'order=asc&order=asc', 'from=-1h', 'x=1', '__proto__=1', 'cursor='])('/v1/agents?%s', async (query) => {
    const answer = await tenant.get(`/v1/agents?${query}`);
    expectProblem(answer, 400, 'invalid_parameter');
    expect(answer.json().detail).toContain(query.split('=')[0]);
  });

  test('every mistake is named, not only the first', async () => {
    const answer = await tenant.get('/v1/events?from=x&to=y&limit=z&order=w&kind=v&unknown=u');
    expect(answer.json().errors.map(({ path }: { path: string }) => path).toSorted()).toEqual(['/from', '/kind', '/limit', '/order', '/to', '/unknown']);
  });
});

const withCursor = (path: string, cursor: string): string => `${path}${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;

describe('cursors', () => {
  withOwnTenant();

  const window = between(NOON, NOON + 3600n * SECOND);
  const question = `/v1/events?${window}&limit=2`;
  let cursor: string;

  beforeAll(async () => {
    const events = Array.from({ length: 5 }, (_, i) => toolCall({ time: at(NOON + BigInt(i) * SECOND), agent: { id: `agent-${i % 2}` } }));
    await tenant.record(events);
    expected.push(...events.map(json));
    cursor = (await tenant.page(question)).next_cursor as string;
    expect(typeof cursor).toBe('string');
  });

  test('reads on where it was given', async () => {
    expect((await tenant.page(withCursor(question, cursor))).events).toHaveLength(2);
  });

  test('a changed character, anywhere', async () => {
    for (let i = 0; i < cursor.length; i += 3) {
      const changed = `${cursor.slice(0, i)}${cursor[i] === 'A' ? 'B' : 'A'}${cursor.slice(i + 1)}`;
      expectProblem(await tenant.get(withCursor(question, changed)), 400, 'invalid_cursor');
    }
  });

  test.each(['x', '.', '..', 'a.b', 'null', '0', '{"a":1}', 'é', '\0', "'; DROP TABLE events; --", 'x'.repeat(4096)])('made up: %s', async (made) => {
    for (const path of [question, '/v1/agents?limit=2', '/v1/agents/agent-0/timeline?from=-1h', '/v1/quarantine?from=-1h']) {
      expectProblem(await tenant.get(withCursor(path, made)), 400, 'invalid_cursor');
    }
  });

  test('something hung on to it', async () => {
    for (const longer of [`${cursor}.x`, `${cursor}x`, ` ${cursor}`, `${cursor}.`]) expectProblem(await tenant.get(withCursor(question, longer)), 400, 'invalid_cursor');
  });

  test('of another question', async () => {
    const others = [
      `/v1/events?${between(NOON, NOON + 7200n * SECOND)}&limit=2`, `${question}&order=desc`, `${question}&tool=search_invoices`, `${question}&-tool=x`, `${question}&agent_id=agent-0`,
      `/v1/agents/agent-0/timeline?${window}&limit=2`, '/v1/agents?limit=2', `/v1/quarantine?${window}&limit=2`,
    ];
    for (const other of others) expectProblem(await tenant.get(withCursor(other, cursor)), 400, 'invalid_cursor');
  });

  test('of another tenant', async () => {
    const other = await service.newTenant();
    await other.record(Array.from({ length: 5 }, (_, i) => toolCall({ time: at(NOON + BigInt(i) * SECOND) })));
    expectProblem(await other.get(withCursor(question, cursor)), 400, 'invalid_cursor');
  });

  // The seal is a plain digest, so anybody can make one; what it seals must be checked all the same.
  const sealed = (payload: string): string => {
    const asked = [tenant.name, 'events', ...window.split('&').map((part) => part.slice(part.indexOf('=') + 1)), 'asc', {}];
    const encoded = Buffer.from(payload).toString('base64url');
    return `${encoded}.${createHash('sha256').update(`${JSON.stringify(asked)}\n${encoded}`).digest('base64url').slice(0, 22)}`;
  };

  test('the seal of this test is that of the service', async () => {
    const [payload = ''] = cursor.split('.');
    expect(sealed(Buffer.from(payload, 'base64url').toString())).toBe(cursor);
  });

  const noon = String(NOON);
  test.each([
    ['no JSON', 'nonsense'], ['nothing', ''], ['null', 'null'], ['an object', '{}'], ['too few', '["0","1"]'],
    ['no number', JSON.stringify([noon, 'x', noon, 'a', 'b', 0])],
    ['a negative count', JSON.stringify([noon, noon, noon, 'a', 'b', -1])],
  ])('sealed by somebody else: %s', async (_, payload) => {
    const answer = await tenant.get(withCursor(question, sealed(payload)));
    expectProblem(answer, 400, 'invalid_cursor');
  });

  test.each([
    ['a window beyond 64 bits', [noon, '9'.repeat(30), noon, 'a', 'b', 0]], ['a position beyond 64 bits', [noon, noon, '9'.repeat(30), 'a', 'b', 0]],
    ['a count beyond 32 bits', [noon, noon, noon, 'a', 'b', 2 ** 40]], ['a window that ends before it begins', ['5', '1', noon, 'a', 'b', 0]],
  ])('sealed by somebody else: %s is never the service\'s fault', async (_, position) => {
    expect((await tenant.get(withCursor(question, sealed(JSON.stringify(position))))).status).toBeLessThan(500);
  });

  test('sealed by somebody else, with a window of all time: shows nothing but the own tenant', async () => {
    const other = await service.newTenant();
    await other.record([toolCall()]);
    const made = sealed(JSON.stringify(['-2208988800000000000', '9223372036854775807', '-2208988800000000000', '', '', 0]));
    const answer = await tenant.get(withCursor(`/v1/events?${window}`, made));
    if (answer.status === 200) expect(answer.json().events.map(({ event }: { event: AuditEvent }) => json(event)).toSorted()).toEqual(expected.toSorted());
    else expectProblem(answer, 400, 'invalid_cursor');
  });
});

describe('ids and paths', () => {
  withOwnTenant();

  const nasty = ["'; DROP TABLE events; --", "%' OR 1=1", "' OR '1'='1", String.raw`\\'; --`, '\\', '\\N', '{tenant: String}', '{any_tool:Array(String)}', "a'b\"c`d", '\0', 'a\0b', '\n', '\t', "','x", "['a']", '💥', '\u202e', 'x'.repeat(512), '__proto__'];

  const present = json(dataAccess({ event_id: 'present', resources: [{ uri: 'u', type: 't' }] }));
  beforeAll(async () => {
    await tenant.record([present]);
    expected.push(present);
  });

  test.each(nasty)('%j in a path and in every filter finds nothing and harms nothing', async (id) => {
    const encoded = encodeURIComponent(id);
    expectProblem(await tenant.get(`/v1/events/${encoded}`), 404, 'not_found');
    const timeline = await tenant.get(`/v1/agents/${encoded}/timeline?${DAY}`);
    // No agent's id holds a line feed, so such a path may lead nowhere.
    if (timeline.status === 200) expect(timeline.json().events).toEqual([]);
    else expectProblem(timeline, 404, 'not_found');
    const filters = ['agent_id', 'tool', 'server', 'principal', 'session_id', 'trace_id', 'resource', 'resource_prefix', 'classification', 'destination'];
    const found = await Promise.all(filters.map((filter) => tenant.page(`/v1/events?${DAY}&${filter}=${encoded}`)));
    expect(found.map(({ events }) => events)).toEqual(filters.map(() => []));
    const others = await tenant.page(`/v1/events?${DAY}&kind=data_access${filters.map((filter) => `&-${filter}=${encoded}`).join('')}`);
    expect(others.events.map(({ raw }) => raw)).toEqual([present]);
    await isWell();
  });

  test.each(nasty.filter((id) => !/[\0\n\t]/.test(id)))('%j as the id of an agent and a tool is found again, and only that', async (id) => {
    const events = [toolCall({ agent: { id }, tool: { name: id.slice(0, 256), server: id }, session_id: id }), toolCall()];
    const [named] = events.map(json) as [string];
    await tenant.record(events);
    expected.push(...events.map(json));
    const encoded = encodeURIComponent(id);
    expect((await tenant.all(`/v1/agents/${encoded}/timeline?${DAY}`)).map(({ raw }) => raw)).toEqual([named]);
    for (const filter of ['agent_id', 'server', 'session_id']) expect((await tenant.all(`/v1/events?${DAY}&${filter}=${encoded}`)).map(({ raw }) => raw)).toEqual([named]);
    const agents = await tenant.agents();
    expect(agents.map(({ agent_id: agent }) => agent)).toContain(id);
  });

  test.each(['%', '%z', '%zz', 'a%', '%f', '%ff', '%c0%af', '%E0%A4%A', '%ED%A0%80', '%u0041'])('malformed percent-encoding %s is never the service\'s fault', async (part) => {
    for (const path of [`/v1/events/${part}`, `/v1/agents/${part}/timeline?from=-1h`, `/v1/events?from=-1h&agent_id=${part}`, `/v1/events?from=-1h&${part}=x`, `/v1/agents?cursor=${part}`, `/v1/keys/${part}`, `/${part}`]) {
      const { status } = await tenant.get(path);
      expect({ path, status }).toEqual({ path, status: expect.toSatisfy((n: number) => n === 200 || (n >= 400 && n < 500)) });
    }
    await isWell();
  });

  test.each(['%zz', '%ff', 'a%'])('an agent whose id cannot be decoded is refused, not answered with an empty timeline: %s', async (part) => {
    expectProblem(await tenant.get(`/v1/agents/${part}/timeline?from=-1h`), 400, 'invalid_parameter');
  });

  test.each([
    '/', '/v1', '/v1/', '/v2/events?from=-1h', '//v1/events?from=-1h', '/v1//events?from=-1h', '/v1/events/?from=-1h', '/V1/EVENTS?from=-1h', '/v1/events;x=1?from=-1h', '/v1/events%2F?from=-1h',
    '/v1/agents//timeline?from=-1h', '/v1/agents/a/timeline/?from=-1h', '/v1/agents/a/b', '/v1/events/a/b', '/v1/keys/', '/.env', '/../../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/v1/events/..%2f..%2fetc', '/__proto__', '/constructor',
  ])('%s: 404, and the same kind of answer as for all else', async (path) => {
    const answer = await service.get(path);
    expectProblem(answer, 404, 'not_found');
  });

  test.each([['PUT', '/v1/events'], ['DELETE', '/v1/events'], ['PATCH', '/v1/agents'], ['POST', '/v1/agents'], ['GET', '/v1/import/cloudtrail']])('%s %s: 405', async (method, path) => {
    expectProblem(await service.send(path, { method, key: tenant.key }), 405, 'method_not_allowed');
  });

  test('HEAD answers as GET, without a body', async () => {
    const answer = await service.send('/v1/events?from=-1h', { method: 'HEAD', key: tenant.key });
    expect(answer).toMatchObject({ status: 200, text: '' });
  });

  test.each(['-', '_', ':', '...', 'a:b.c-d_e', 'histogram.', 'x'.repeat(128)])('an event with the id %j can be asked for by it', async (id) => {
    const event = toolCall({ event_id: id });
    await tenant.record([event]);
    expected.push(json(event));
    const answer = await tenant.get(`/v1/events/${id}`);
    expect(answer.json()).toMatchObject({ event: { event_id: id }, conflicts: [] });
  });

  test('a path of 20,000 characters and headers of 64 KiB: 431, and no harm', async () => {
    const { status } = await tenant.get(`/v1/events/${'a'.repeat(20_000)}`);
    expect(status).toBe(431);
    expect((await service.send('/healthz', { headers: { 'x-large': 'x'.repeat(65_536) } })).status).toBe(431);
    await isWell();
  });

  test.each([
    ['no Host', 'GET /healthz HTTP/1.1\r\n\r\n'], ['a NUL in the path', 'GET /v1/\0 HTTP/1.1\r\nHost: x\r\n\r\n'], ['a header without a name', 'GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n'],
    ['a folded header', 'GET /healthz HTTP/1.1\r\nHost: x\r\n y: z\r\n\r\n'], ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00'], ['two Hosts', 'GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n'],
    ['an odd Host', 'GET /healthz HTTP/1.1\r\nHost: a b/c?d\r\n\r\n'],
  ])('%s: an answer below 500 or none, and no harm', async (_, bytes) => {
    const heard = await speak(service.url, bytes, { quietMs: 500 });
    if (heard !== '') expect(heard).toMatch(/^HTTP\/1\.1 [24]\d\d /);
    await isWell();
  });
});

describe('bodies of keys', () => {
  test.each([
    ['no JSON', '{', 400, 'malformed_json'], ['nothing', '', 400, 'malformed_json'], ['a list', '[]', 400, 'invalid_parameter'], ['null', 'null', 400, 'invalid_parameter'],
    ['no scopes', '{"name":"x","scopes":[]}', 400, 'invalid_parameter'], ['an unknown scope', '{"name":"x","scopes":["root"]}', 400, 'invalid_parameter'],
    ['an unknown field', '{"name":"x","scopes":["admin"],"secret":"mine"}', 400, 'invalid_parameter'], ['__proto__', '{"name":"x","scopes":["admin"],"__proto__":{"tenant":"y"}}', 400, 'invalid_parameter'],
    ['a tenant with a path in it', '{"name":"x","scopes":["admin"],"tenant":"../x"}', 400, 'invalid_parameter'], ['a name that is too long', `{"name":"${'x'.repeat(257)}","scopes":["admin"]}`, 400, 'invalid_parameter'],
    ['an expiry in the past', '{"name":"x","scopes":["admin"],"expires_at":"2020-01-01T00:00:00Z"}', 400, 'invalid_parameter'], ['an expiry that is none', '{"name":"x","scopes":["admin"],"expires_at":"soon"}', 400, 'invalid_parameter'],
  ] as const)('%s', async (_, body, status, code) => {
    const keys = async (): Promise<unknown> => (await service.get('/v1/keys')).json();
    const before = await keys();
    expectProblem(await service.post(body, { path: '/v1/keys' }), status, code);
    expect(await keys()).toEqual(before);
  });

  test('a body without end is refused', async () => {
    expectProblem(await service.post(JSON.stringify({ name: 'x'.repeat(17 * 1024 * 1024), scopes: ['admin'] }), { path: '/v1/keys' }), 413, 'body_too_large');
  });
});

describe('many mistakes at once', () => {
  withOwnTenant();

  test('a large number of events wrong in every way leaves the service well', async () => {
    const bad = Array.from({ length: 2_000 }, (_, i) => `{"event_id":"wrong-${i}","kind":${i}}`);
    const answer = await tenant.post(...lines(bad));
    expect(answer.status).toBe(422);
    expect(answer.json().rejected).toHaveLength(2_000);
    await isWell();
  });
});
