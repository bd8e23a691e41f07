import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpBindings } from '@hono/node-server';
import { Hono } from 'hono';
import { afterEach, describe, expect, it } from 'vitest';
import { speak } from '../../../test/support/socket.ts';
import { until } from '../../../test/support/until.ts';
import { startHttpServer, type HttpLimits, type HttpServer } from './http-server.ts';

const PATIENT: HttpLimits = {
  HTTP_HEADERS_TIMEOUT_MS: 60_000, HTTP_REQUEST_TIMEOUT_MS: 60_000, HTTP_WRITE_TIMEOUT_MS: 60_000, HTTP_KEEP_ALIVE_TIMEOUT_MS: 60_000, HTTP_MAX_CONNECTIONS: 100,
};
/** Far more than the buffers of both ends of a connection. */
const BIG = 'x'.repeat(64 * 1024 * 1024);

let finishSlow = Promise.withResolvers<string>();
/** Answers that ended, whole or not. */
let ended = 0;
const app = new Hono<{ Bindings: HttpBindings }>()
  .get('/', (c) => c.text('hello'))
  .get('/big', (c) => {
    c.env.outgoing.once('close', () => ended++);
    return c.text(BIG);
  })
  .get('/slow', async (c) => c.text(await finishSlow.promise))
  .post('/', async (c) => c.text(`${(await c.req.text()).length} bytes`));

app.onError(() => new Response(null, { status: 500 }));

const servers: HttpServer[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await server.stop(0);
});

async function start(limits: Partial<HttpLimits>, onRefused?: () => void): Promise<string> {
  const server = await startHttpServer(app, { hostname: '127.0.0.1', port: 0, limits: { ...PATIENT, ...limits }, ...(onRefused === undefined ? {} : { onRefused }) });
  servers.push(server);
  return server.url;
}

/** A connection with what it heard, and whether it is closed. */
async function open(url: string, bytes = ''): Promise<{ socket: Socket; heard: () => string; closed: () => boolean }> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  sockets.push(socket);
  let [heard, closed] = ['', false];
  socket.on('data', (chunk: Buffer) => void (heard += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  socket.on('close', () => void (closed = true));
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.write(bytes);
  return { socket, heard: () => heard, closed: () => closed };
}

/** Writes the bytes one by one until the other side has had enough. */
async function dribble({ socket, closed }: Awaited<ReturnType<typeof open>>, bytes: string): Promise<void> {
  for (const byte of bytes) {
    if (closed()) return;
    socket.write(byte);
    await sleep(20);
  }
  throw new Error('it was never cut');
}

describe('clients that send slowly', () => {
  const long = `X-Padding: ${'x'.repeat(1000)}\r\n`;

  it('headers: 408, and cut', async () => {
    const client = await open(await start({ HTTP_HEADERS_TIMEOUT_MS: 200 }), 'GET / HTTP/1.1\r\nHost: x\r\n');
    await dribble(client, long);
    expect(client.heard()).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('a body: 408, and cut', async () => {
    const client = await open(await start({ HTTP_HEADERS_TIMEOUT_MS: 200, HTTP_REQUEST_TIMEOUT_MS: 300 }), 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n');
    await dribble(client, long);
    expect(client.heard()).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('nothing at all: cut', async () => {
    const client = await open(await start({ HTTP_HEADERS_TIMEOUT_MS: 200 }));
    await until(client.closed, (closed) => closed);
  });

  it('nothing after the first request: cut', async () => {
    const url = await start({ HTTP_KEEP_ALIVE_TIMEOUT_MS: 100, HTTP_WRITE_TIMEOUT_MS: 10_000 });
    const client = await open(url, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(client.closed, (closed) => closed);
    expect(client.heard()).toContain('hello');
  });
});

describe('clients that read slowly', () => {
  it('not at all: cut, and the rest of the answer is given up', async () => {
    const client = await open(await start({ HTTP_WRITE_TIMEOUT_MS: 200 }), 'GET /big HTTP/1.1\r\nHost: x\r\n\r\n');
    client.socket.pause();
    const before = ended;
    await until(() => ended, (now) => now > before);
    client.socket.resume();
    await until(client.closed, (closed) => closed);
    expect(client.heard().length).toBeLessThan(BIG.length);
  });

  it('in pieces, but always on: all of it', async () => {
    const client = await open(await start({ HTTP_WRITE_TIMEOUT_MS: 400 }), 'GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    for (let i = 0; i < 10; i++) {
      client.socket.pause();
      await sleep(100);
      client.socket.resume();
      await sleep(5);
    }
    await until(client.closed, (closed) => closed);
    expect(client.heard().length).toBeGreaterThan(BIG.length);
  });

  it('because the answer is still being worked out: not cut', async () => {
    finishSlow = Promise.withResolvers();
    const url = await start({ HTTP_WRITE_TIMEOUT_MS: 100, HTTP_HEADERS_TIMEOUT_MS: 100, HTTP_REQUEST_TIMEOUT_MS: 100, HTTP_KEEP_ALIVE_TIMEOUT_MS: 100 });
    const client = await open(url, 'GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
    await sleep(600);
    expect(client.closed()).toBe(false);
    finishSlow.resolve('at last');
    await until(client.heard, (text) => text.includes('at last'));
  });
});

describe('many connections', () => {
  it('beyond the bound are closed at once, and told of; those that are open go on', async () => {
    let refused = 0;
    const url = await start({ HTTP_MAX_CONNECTIONS: 10 }, () => void refused++);
    const clients = await Promise.all(Array.from({ length: 30 }, () => open(url)));
    await until(() => clients.filter((client) => client.closed()).length, (closed) => closed === 20);
    expect(refused).toBe(20);
    const left = clients.find((client) => !client.closed());
    left?.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => left?.heard() ?? '', (text) => text.includes('hello'));
    for (const client of clients) client.socket.destroy();
    await until(() => speak(url, 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), (text) => text.includes('hello'));
  });
});
