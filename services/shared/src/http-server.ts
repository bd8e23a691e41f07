import { serve, type ServerType } from '@hono/node-server';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Config } from './config.ts';

export interface HttpServer {
  /** Such as http://127.0.0.1:8080 */
  readonly url: string;
  /** Stops listening and resolves when the requests under way are answered; after `graceMs` they are cut. */
  stop(graceMs: number): Promise<void>;
}

/** A hono app, whatever its environment. */
type FetchApp = Parameters<typeof serve>[0] extends { fetch: infer Fetch } ? { readonly fetch: Fetch } : never;

/** What a client may take of the server's time and connections. */
export type HttpLimits = Pick<
  Config,
  'HTTP_HEADERS_TIMEOUT_MS' | 'HTTP_REQUEST_TIMEOUT_MS' | 'HTTP_WRITE_TIMEOUT_MS' | 'HTTP_KEEP_ALIVE_TIMEOUT_MS' | 'HTTP_MAX_CONNECTIONS'
>;

export interface HttpServerOptions {
  readonly hostname: string;
  readonly port: number;
  readonly limits: HttpLimits;
  /** Told of each connection that was closed at once because there were too many. */
  readonly onRefused?: () => void;
}

/** Resolves once the port is open. @throws Error with a sentence that says what to do when it cannot be opened */
export function startHttpServer(app: FetchApp, { hostname, port, limits, onRefused }: HttpServerOptions): Promise<HttpServer> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname, port, serverOptions: timeouts(limits) }, (address: AddressInfo) => {
      server.off('error', onError);
      const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
      resolve({ url: `http://${host}:${address.port}`, stop: (graceMs) => stopServer(server, graceMs) });
    });
    const onError = (error: NodeJS.ErrnoException): void => {
      const why = error.code === 'EADDRINUSE' ? 'something else listens there; set AGENT_AUDIT_PORT to another port' : error.message;
      reject(new Error(`cannot listen on ${hostname}:${port}: ${why}`, { cause: error }));
    };
    server.once('error', onError);
    if ('headersTimeout' in server) cutSlowReaders(server, limits.HTTP_WRITE_TIMEOUT_MS);
    server.maxConnections = limits.HTTP_MAX_CONNECTIONS;
    if (onRefused !== undefined) server.on('drop', onRefused);
  });
}

/** Node answers 408 to those who are too slow, and closes. It also counts a connection over which nothing comes at all. */
function timeouts({ HTTP_HEADERS_TIMEOUT_MS: headers, HTTP_REQUEST_TIMEOUT_MS: whole, HTTP_KEEP_ALIVE_TIMEOUT_MS: keepAlive }: HttpLimits): ServerOptions {
  const headersTimeout = Math.min(headers, whole);
  return {
    headersTimeout,
    requestTimeout: whole,
    keepAliveTimeout: keepAlive,
    // A connection may last so much longer than it should; the default is half a minute.
    connectionsCheckingInterval: Math.max(20, Math.min(5_000, headersTimeout / 4)),
  };
}

/**
 * Cuts connections on which an answer waits and the client takes nothing of it. A connection on which nothing moves
 * because the answer is being worked out, or because a live stream has nothing to say, stays open.
 */
function cutSlowReaders(server: Server, ms: number): void {
  /** Requests under way on each; there may be several, one behind the other. */
  const busy = new WeakMap<Socket, number>();
  const count = (socket: Socket, more: number): unknown => busy.set(socket, (busy.get(socket) ?? 0) + more);
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    count(socket, 1);
    response.once('close', () => count(socket, -1));
  });
  // With a listener, Node leaves it to us what becomes of a silent connection, those between two requests included.
  server.setTimeout(ms, (socket) => {
    if ((busy.get(socket) ?? 0) === 0 || socket.writableLength > 0) socket.destroy();
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
