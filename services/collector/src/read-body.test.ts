import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { serve } from '@hono/node-server';
import { Problem } from '@agent-audit/shared';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../../test/support/until.ts';
import { BodyBudget } from './body-budget.ts';
import { decode, readBody } from './read-body.ts';

const MAX = 100_000;
const budget = new BodyBudget(100 * MAX);

/** What the handler read or threw, with the answers to the same connection kept apart. */
const app = new Hono().post('/', async (c) => {
  const body = await readBody(c, MAX, budget);
  try {
    return c.body(Buffer.from(body.bytes).toString('base64'));
  } finally {
    body.release();
  }
});
/** What became of requests whose sender was gone before it could be answered. */
const thrown: string[] = [];
app.onError((error) => {
  thrown.push(error instanceof Problem ? error.code : error.message);
  if (error instanceof Problem) return error.toResponse();
  return Response.json({ code: `thrown: ${error.message}` }, { status: 500 });
});

let server: ReturnType<typeof serve>;
let port: number;
beforeAll(async () => {
  server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 });
  if (server.listening !== true) await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  // Whatever became of a body, it gave back what it took.
  expect(budget.held).toBe(0);
  if ('closeAllConnections' in server) server.closeAllConnections();
  server.close();
});

async function post(body: Uint8Array | ReadableStream, encoding?: string): Promise<{ status: number; body: Buffer; code: string | undefined; headers: Headers }> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body, headers: encoding === undefined ? {} : { 'content-encoding': encoding }, duplex: 'half' } as RequestInit);
  const text = await response.text();
  const code = response.ok ? undefined : (JSON.parse(text) as { code: string }).code;
  return { status: response.status, body: Buffer.from(text, 'base64'), code, headers: response.headers };
}

/** Bytes straight onto a socket; what came back until it closed or `ms` passed. */
async function raw(...parts: (string | Uint8Array)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (text: string) => { answer += text; }).on('error', () => {});
  await once(socket, 'connect');
  for (const part of parts) {
    socket.write(part);
    await new Promise((resolve) => { setTimeout(resolve, 30); });
  }
  await Promise.race([once(socket, 'close'), new Promise((resolve) => { setTimeout(resolve, 150); })]);
  socket.destroy();
  return answer;
}

const body = Buffer.from(Array.from({ length: 5000 }, (_, i) => `{"line":${i}}`).join('\n'));
const chunked = (...chunks: Uint8Array[]): ReadableStream => ReadableStream.from(chunks);

const ENCODERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => gzipSync(bytes), 'x-gzip': (bytes) => gzipSync(bytes), deflate: (bytes) => deflateSync(bytes), br: (bytes) => brotliCompressSync(bytes), zstd: (bytes) => zstdCompressSync(bytes),
};

describe('a plain body', () => {
  it('is read as announced, and in chunks', async () => {
    expect((await post(body)).body).toEqual(body);
    expect((await post(body, 'identity')).body).toEqual(body);
    expect((await post(chunked(body.subarray(0, 7), body.subarray(7, 4000), body.subarray(4000)))).body).toEqual(body);
  });

  it('of exactly the limit is taken, of one more is not', async () => {
    const full = Buffer.alloc(MAX, 'x');
    const over = Buffer.alloc(MAX + 1, 'x');
    expect((await post(full)).body).toEqual(full);
    expect((await post(chunked(full))).body).toEqual(full);
    for (const answer of [await post(over), await post(chunked(over))]) {
      expect(answer).toMatchObject({ status: 413, code: 'body_too_large' });
      expect(answer.headers.get('connection')).toBe('close');
    }
  });

  it('of nothing is empty', async () => {
    expect(await post(Buffer.alloc(0))).toMatchObject({ status: 400, code: 'empty_body' });
    expect(await post(chunked())).toMatchObject({ status: 400, code: 'empty_body' });
  });

  it('side by side with others is not mixed up with them', async () => {
    const bodies = Array.from({ length: 40 }, (_, i) => Buffer.alloc(1000 + i * 900, `${i % 10}`));
    const answers = await Promise.all(bodies.map((each, i) => post(i % 3 === 0 ? chunked(each.subarray(0, 500), each.subarray(500)) : each)));
    answers.forEach((answer, i) => expect(answer.body.equals(bodies[i] as Buffer)).toBe(true));
  });
});

describe.each(Object.entries(ENCODERS))('%s', (encoding, encode) => {
  it('is decoded, announced and in chunks, whatever the case of its name', async () => {
    const encoded = encode(body);
    expect((await post(encoded, encoding)).body).toEqual(body);
    expect((await post(encoded, ` ${encoding.toUpperCase()} `)).body).toEqual(body);
    expect((await post(chunked(encoded.subarray(0, 10), encoded.subarray(10)), encoding)).body).toEqual(body);
  });

  it('is measured after decoding', async () => {
    expect((await post(encode(Buffer.alloc(MAX)), encoding)).body).toHaveLength(MAX);
    expect(await post(encode(Buffer.alloc(MAX + 1)), encoding)).toMatchObject({ status: 413, code: 'body_too_large' });
  });

  it('that would be 64 MiB stops at the limit', async () => {
    const bomb = encode(Buffer.alloc(64 * 1024 * 1024));
    const before = process.memoryUsage().arrayBuffers;
    expect(await post(bomb, encoding)).toMatchObject({ status: 413, code: 'body_too_large' });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024);
  });

  it('that ends early is malformed, wherever it ends', async () => {
    const encoded = encode(body);
    for (const length of [1, 3, Math.floor(encoded.length / 2), encoded.length - 1]) {
      expect(await post(encoded.subarray(0, length), encoded.length > 0 ? encoding : 'never'), `${length} of ${encoded.length}`).toMatchObject({ status: 400, code: 'malformed_encoding' });
    }
  });

  it('that is damaged or something else is malformed', async () => {
    const damaged = Buffer.from(encode(body));
    for (let i = 0; i < 4; i++) damaged[i] = 0xff - (damaged[i] as number);
    expect(await post(damaged, encoding)).toMatchObject({ status: 400, code: 'malformed_encoding' });
    expect(await post(Buffer.from('{"event_id":"plain"}'), encoding)).toMatchObject({ status: 400, code: 'malformed_encoding' });
  });

  it('of nothing is empty', async () => {
    expect(await post(encode(Buffer.alloc(0)), encoding)).toMatchObject({ status: 400, code: 'empty_body' });
  });
});

describe('members one after the other', () => {
  // Both formats allow it (RFC 1952 section 2.2, RFC 8878 section 3.1), and tools write it.
  it.each([['gzip', ENCODERS['gzip']], ['zstd', ENCODERS['zstd']]] as const)('%s: every one is read', async (encoding, encode) => {
    const two = Buffer.concat([encode?.(Buffer.from('one\n')) ?? Buffer.of(), encode?.(Buffer.from('two\n')) ?? Buffer.of()]);
    expect((await post(two, encoding)).body.toString()).toBe('one\ntwo\n');
  });

  const withTextBehind = (encoding: string): Promise<unknown> =>
    post(Buffer.concat([ENCODERS[encoding]?.(Buffer.from('one\n')) ?? Buffer.of(), Buffer.from('{"event_id":"behind"}')]), encoding);

  it.each(['gzip', 'x-gzip'])('%s: text behind the end is not left out in silence', async (encoding) => {
    expect(await withTextBehind(encoding)).toMatchObject({ status: 400, code: 'malformed_encoding' });
  });

  // These decoders stop at the end of their stream and say nothing of what follows, so the sender is told that all went well.
  it.each(['deflate', 'br', 'zstd'])('%s: text behind the end is not left out in silence', async (encoding) => {
    expect(await withTextBehind(encoding)).toMatchObject({ status: 400, code: 'malformed_encoding' });
  });
});

describe('an encoding that is not known', () => {
  it.each(['compress', 'gzip, br', 'constructor', 'toString', '__proto__', 'utf-8', '*'])('%s', async (encoding) => {
    const answer = await post(body, encoding);
    expect(answer).toMatchObject({ status: 415, code: 'unsupported_encoding' });
    expect(answer.headers.get('accept-encoding')).toContain('zstd');
  });
});

describe('a Content-Length that lies', () => {
  const head = (lines: string): string => `POST / HTTP/1.1\r\nHost: x\r\n${lines}\r\n\r\n`;

  it('too small: the rest is no part of the body', async () => {
    expect(await raw(head('Content-Length: 3'), 'abcdef')).toMatch(/^HTTP\/1\.1 400 /);
    const answer = await raw(head('Content-Length: 3'), 'abc', 'def');
    expect(answer).toContain('200 OK');
    expect(answer).toContain(Buffer.from('abc').toString('base64'));
    expect(answer).not.toContain(Buffer.from('abcdef').toString('base64'));
  });

  it('too large: is waited for, and nothing is answered when the sender goes away', async () => {
    thrown.length = 0;
    expect(await raw(head('Content-Length: 10'), 'abc')).toBe('');
    // Not a failure of the service, which it would be if it were logged as one.
    await until(() => thrown, ({ length }) => length > 0);
    expect(thrown).toEqual(['malformed_encoding']);
    // The service goes on.
    expect((await post(body)).body).toEqual(body);
  });

  it.each(['99999999999999999999', `${MAX + 1}`])('of %s bytes is refused before any is read', async (length) => {
    expect(await raw(head(`Content-Length: ${length}`), 'abc')).toMatch(/^HTTP\/1\.1 4(?:00|13) /);
  });

  it.each(['Content-Length: -1', 'Content-Length: 3x', 'Content-Length: 0x3', 'Content-Length: 3\r\nContent-Length: 4', 'Content-Length: 3\r\nTransfer-Encoding: chunked'])('%j is refused', async (lines) => {
    expect(await raw(head(lines), 'abc')).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('decode', () => {
  it('takes bytes from anywhere', async () => {
    expect(await decode([gzipSync('abc')], 'gzip', 3)).toEqual(Buffer.from('abc'));
    expect(await decode([Buffer.from('a'), Buffer.from('b')], 'identity', 2)).toEqual(Buffer.from('ab'));
    await expect(decode([Buffer.from('abc')], 'identity', 2)).rejects.toMatchObject({ code: 'body_too_large' });
  });

  it('hands on what its source fails with', async () => {
    const failing = async function* (): AsyncGenerator<Buffer> {
      yield gzipSync('abc').subarray(0, 5);
      throw new Error('the sender went away');
    };
    for (const encoding of ['gzip', 'identity']) await expect(decode(failing(), encoding, 100)).rejects.toThrow('the sender went away');
  });
});

describe('a budget that is used up', () => {
  it('refuses, announced or decoded, and gives back what was taken', async () => {
    const other = budget.share();
    other.grow(100 * MAX - 1000);
    expect((await post(body)).status).toBe(body.length > 1000 ? 503 : 200);
    expect(await post(Buffer.alloc(1001))).toMatchObject({ status: 503, code: 'unavailable' });
    const answer = await post(gzipSync(Buffer.alloc(5000)), 'gzip');
    expect(answer).toMatchObject({ status: 503, code: 'unavailable' });
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(budget.held).toBe(100 * MAX - 1000);
    other.release();
    expect((await post(gzipSync(Buffer.alloc(5000)), 'gzip')).status).toBe(200);
  });
});
