import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import type { AddressInfo } from 'node:net';

/** The least that a route can do with a request: read its body and answer. In a process of its own. */
export async function startBareHono(): Promise<{ url: string; stop(): void }> {
  const child = fork(fileURLToPath(import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const url = await new Promise<string>((resolve) => child.once('message', (message) => resolve(message as string)));
  return { url, stop: () => void child.kill() };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const app = new Hono().post('/v1/events', async (c) => {
    await c.req.arrayBuffer();
    return c.json({ accepted: 1, duplicates: 0, rejected: [] }, 202);
  });
  serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, (address: AddressInfo) => process.send?.(`http://127.0.0.1:${address.port}`));
}
