import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { Client, retryAfterOf } from './client.ts';
import { batches, bodyOf, send, waitMs, type Sending, type Tally } from './ingest.ts';

let server: Server | undefined;
afterEach(() => new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve()))));

type Reply = { status: number; body: unknown; headers?: Record<string, string> };

async function sendingTo(reply: (body: string, attempt: number) => Reply, retryForMs = 5_000): Promise<Sending> {
  let attempt = 0;
  server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      const { status, body, headers } = reply(await bodyOfRequest(request), attempt++);
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close', ...headers }).end(JSON.stringify(body));
    };
    void answer();
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { client: new Client({ url: `http://127.0.0.1:${port}`, key: 'k' }), path: '/v1/events', retryForMs, onWait: () => {} };
}

async function bodyOfRequest(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return gunzipSync(Buffer.concat(chunks)).toString();
}

const record = (text: string, i: number) => ({ bytes: Buffer.from(text), at: `f:${i + 1}` });
async function* records(texts: readonly string[]): AsyncGenerator<ReturnType<typeof record>> {
  for (const [i, text] of texts.entries()) yield record(text, i);
}
const batch = (texts: string[]) => ({ records: texts.map(record), bytes: 0 });
const tally = (): Tally => ({ accepted: 0, duplicates: 0, rejected: 0, reasons: [] });
const problem = (code: string, detail: string) => ({ title: code, status: 400, code, detail });

describe('batches', () => {
  it('bounds requests by records and by bytes', async () => {
    const sizes: number[] = [];
    for await (const { records: part } of batches(records(['aa', 'bb', 'cc', 'dddddddddddd', 'e']), 8, 2)) sizes.push(part.length);
    expect(sizes).toEqual([2, 1, 1, 1]);
  });
});

it('bodyOf keeps the bytes of records that have line breaks', () => {
  expect(bodyOf([record('{}', 0), record('1', 1)])).toEqual({ body: Buffer.from('{}\n1\n'), type: 'application/x-ndjson' });
  expect(bodyOf([record('{\n}', 0), record('1', 1)])).toEqual({ body: Buffer.from('[{\n},1]'), type: 'application/json' });
});

describe('send', () => {
  it('counts, and says of each rejected record where it stands', async () => {
    const counts = tally();
    const rejected = [{ index: 1, event_id: 'e\u001b', errors: [{ path: '/time', code: 'required', message: 'is required' }] }];
    await send(batch(['1', '2', '3']), counts, await sendingTo(() => ({ status: 202, body: { accepted: 1, duplicates: 1, rejected } })));
    expect(counts).toEqual({ accepted: 1, duplicates: 1, rejected: 1, reasons: ['f:2: e␛: /time is required'] });
  });

  it('repeats the same bytes while the server is full, as it asks', async () => {
    const bodies: string[] = [];
    const sending = await sendingTo((body, attempt) => {
      bodies.push(body);
      return attempt < 2 ? { status: attempt === 0 ? 429 : 503, body: {}, headers: { 'retry-after': '0' } } : { status: 202, body: { accepted: 1, duplicates: 0, rejected: [] } };
    });
    const counts = tally();
    await send(batch(['{"a":1}']), counts, sending);
    expect(counts.accepted).toBe(1);
    expect(bodies).toEqual(['{"a":1}\n', '{"a":1}\n', '{"a":1}\n']);
  });

  it('gives up in time, and says so with the code for it', async () => {
    const sending = await sendingTo(() => ({ status: 503, body: problem('unavailable', 'full'), headers: { 'retry-after': '9' } }), 50);
    await expect(send(batch(['1']), tally(), sending)).rejects.toMatchObject({ exitCode: 5, message: 'full' });
    await expect(send(batch(['1']), tally(), { ...sending, client: new Client({ url: 'http://127.0.0.1:9', key: 'k' }) })).rejects.toMatchObject({ exitCode: 3 });
  });

  it('finds the record that breaks a whole body', async () => {
    const sending = await sendingTo((body) => body.includes('broken')
      ? { status: 400, body: problem('malformed_json', 'not JSON') }
      : { status: 202, body: { accepted: body.trim().split('\n').length, duplicates: 0, rejected: [] } });
    const counts = tally();
    await send(batch(['1', '2', '3', 'broken', '5']), counts, sending);
    expect(counts).toEqual({ accepted: 4, duplicates: 0, rejected: 1, reasons: ['f:4: not JSON'] });
  });

  it('does not take a refusal of us for one of the records', async () => {
    const sending = await sendingTo(() => ({ status: 401, body: problem('unauthenticated', 'who are you?') }));
    await expect(send(batch(['1', '2']), tally(), sending)).rejects.toMatchObject({ exitCode: 4, message: 'who are you?' });
  });

  it('believes no answer that has no counts', async () => {
    const sending = await sendingTo(() => ({ status: 200, body: { ok: true } }));
    await expect(send(batch(['1']), tally(), sending)).rejects.toMatchObject({ exitCode: 5 });
  });
});

it('waits longer each time, never less than the server asks', () => {
  expect([0, 1, 2].map((attempt) => waitMs(attempt, undefined, 1))).toEqual([250, 500, 1000]);
  expect(waitMs(30, undefined, 1)).toBe(10_000);
  expect(waitMs(0, 7, 0)).toBe(7000);
});

it('reads Retry-After as seconds or as a date', () => {
  expect(retryAfterOf('3')).toBe(3);
  expect(retryAfterOf('Sun, 22 Nov 2026 15:00:10 GMT', Date.parse('2026-11-22T15:00:00Z'))).toBe(10);
  expect(retryAfterOf('soon')).toBeUndefined();
  expect(retryAfterOf(null)).toBeUndefined();
});
