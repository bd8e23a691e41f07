import { serve, type ServerType } from '@hono/node-server';
import type { Hono } from 'hono';
import type { AddressInfo } from 'node:net';

export interface HttpServer {
  /** Such as http://127.0.0.1:8080 */
  readonly url: string;
  /** Stops listening and resolves when the requests under way are answered; after `graceMs` they are cut. */
  stop(graceMs: number): Promise<void>;
}

/** Resolves once the port is open. @throws Error with a sentence that says what to do when it cannot be opened */
export function startHttpServer(app: Pick<Hono, 'fetch'>, hostname: string, port: number): Promise<HttpServer> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname, port }, (address: AddressInfo) => {
      server.off('error', onError);
      const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
      resolve({ url: `http://${host}:${address.port}`, stop: (graceMs) => stopServer(server, graceMs) });
    });
    const onError = (error: NodeJS.ErrnoException): void => {
      const why = error.code === 'EADDRINUSE' ? 'something else listens there; set AGENT_AUDIT_PORT to another port' : error.message;
      reject(new Error(`cannot listen on ${hostname}:${port}: ${why}`, { cause: error }));
    };
    server.once('error', onError);
  });
}

function stopServer(server: ServerType, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => {
      if ('closeAllConnections' in server) server.closeAllConnections();
    }, graceMs);
    // A busy client would go on on its open connection until it is cut: it is told to open another, and cannot.
    server.prependListener('request', (_request: unknown, response: { shouldKeepAlive: boolean }) => {
      response.shouldKeepAlive = false;
    });
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    if ('closeIdleConnections' in server) server.closeIdleConnections();
  });
}
