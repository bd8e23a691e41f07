import { Agent, createServer, request as send, type ClientRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A request to ClickHouse, as far as it matters who may pass. */
export interface StoreRequest {
  /** The table that it inserts into; undefined where it is no INSERT. */
  readonly insertsInto: string | undefined;
  /** Its `insert_deduplication_token`. */
  readonly token: string | undefined;
}

/**
 * What becomes of a request:
 * - `pass`;
 * - `hang`: it is taken and never answered, until `release`;
 * - `cut-before`: nothing of it arrives, and its connection is cut;
 * - `cut-inside`: its connection is cut in the middle of the body, on both sides;
 * - `cut-answer`: ClickHouse does all of it, and the connection is cut before the answer;
 * - `claim`: nothing of it arrives, and it is answered with success. So does a ClickHouse that remembers the token of an
 *   insert whose part it lost when it died;
 * - `{delayMs}`: it waits, then passes.
 */
export type Treatment = 'pass' | 'hang' | 'cut-before' | 'cut-inside' | 'cut-answer' | 'claim' | { readonly delayMs: number };

/** Headers that belong to one connection (RFC 9110 section 7.6.1). */
const HOP = new Set(['connection', 'keep-alive', 'transfer-encoding']);

/** Stands between a service and its ClickHouse, and does to requests what a network does. */
export class StoreProxy {
  /** Asked for every request. */
  treat: (request: StoreRequest) => Treatment = () => 'pass';
  readonly #target: URL;
  readonly #server: Server;
  readonly #port: number;
  readonly #upstream = new Agent({ keepAlive: true });
  readonly #held = new Set<IncomingMessage>();

  private constructor(target: URL, server: Server, port: number) {
    this.#target = target;
    this.#server = server;
    this.#port = port;
    server.on('request', (request, response) => void this.#handle(request, response));
  }

  static async start(target: string): Promise<StoreProxy> {
    // Longer than clients keep a connection that they do not use: only they may end it.
    const server = createServer({ keepAliveTimeout: 120_000, requestTimeout: 0 });
    await listen(server, 0);
    return new StoreProxy(new URL(target), server, (server.address() as AddressInfo).port);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** From now on connections are refused, and those that are open are cut. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => {
      this.#server.close(resolve);
    });
    this.#server.closeAllConnections();
    await closed;
  }

  async reopen(): Promise<void> {
    await listen(this.#server, this.#port);
  }

  /** Lets all pass again, and cuts the connections of those that hang. */
  release(): void {
    this.treat = () => 'pass';
    for (const request of this.#held) request.destroy();
    this.#held.clear();
  }

  async stop(): Promise<void> {
    this.release();
    if (this.#server.listening) await this.close();
    this.#upstream.destroy();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.on('error', () => {});
    response.on('error', () => {});
    const treatment = this.treat(describe(request));
    if (typeof treatment === 'object') {
      await sleep(treatment.delayMs);
      this.#pass(request, response);
      return;
    }
    switch (treatment) {
      case 'pass':
        this.#pass(request, response);
        return;
      case 'hang':
        this.#held.add(request);
        return;
      case 'cut-before':
        request.socket.destroy();
        return;
      case 'cut-inside':
        this.#cutInside(request);
        return;
      case 'cut-answer':
        this.#forward(request, (incoming) => void incoming.resume().once('end', () => request.socket.destroy()));
        return;
      case 'claim':
        request.resume().once('end', () => response.end());
    }
  }

  #pass(request: IncomingMessage, response: ServerResponse): void {
    const outgoing = this.#forward(request, (incoming) => {
      response.writeHead(incoming.statusCode ?? 502, Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !HOP.has(name))));
      incoming.pipe(response);
      incoming.once('error', () => response.destroy());
    });
    // ClickHouse is to see that its client is gone.
    response.once('close', () => void (response.writableFinished || outgoing.destroy()));
  }

  #forward(request: IncomingMessage, answered: (incoming: IncomingMessage) => void): ClientRequest {
    const outgoing = this.#open(request, answered);
    request.pipe(outgoing);
    return outgoing;
  }

  #open({ method, url, headers, socket }: IncomingMessage, answered: (incoming: IncomingMessage) => void): ClientRequest {
    const { hostname: host, port } = this.#target;
    const outgoing = send({ host, port, method: method ?? 'GET', path: url ?? '/', headers, agent: this.#upstream }, answered);
    // An engine that died looks like a server that did.
    return outgoing.on('error', () => socket.destroy());
  }

  #cutInside(request: IncomingMessage): void {
    const outgoing = this.#open(request, (incoming) => void incoming.resume());
    request.once('data', (chunk: Buffer) => {
      outgoing.write(chunk.subarray(0, Math.ceil(chunk.length / 2)), () => {
        outgoing.destroy();
        request.socket.destroy();
      });
    });
  }
}

function describe(request: IncomingMessage): StoreRequest {
  const parameters = new URL(request.url ?? '/', 'http://store').searchParams;
  return {
    insertsInto: /^\s*INSERT\s+INTO\s+(?:TABLE\s+)?([\w.`]+)/i.exec(parameters.get('query') ?? '')?.[1],
    token: parameters.get('insert_deduplication_token') ?? undefined,
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}
