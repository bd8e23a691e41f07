import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '@agent-audit/shared';
import { signCheckpoint } from '../checkpoint.ts';
import { consistencyProof, leafHash, nodeHash, rootOf, type Hash } from '../merkle.ts';
import { generateSigner, parseSigner, type NoteSigner } from '../note.ts';
import type { Offered } from './anchor.ts';

/** A log in memory. */
export class TestLog {
  readonly origin: string;
  readonly signer: NoteSigner;
  readonly #salt: string;

  /** @param salt logs with another one have other entries */
  constructor(origin: string, { salt = '', signer = parseSigner(generateSigner(origin)) }: { salt?: string; signer?: NoteSigner } = {}) {
    this.origin = origin;
    this.signer = signer;
    this.#salt = salt;
  }

  readonly #node = (level: number, place: number): Hash =>
    level === 0 ? leafHash(Buffer.from(`${this.#salt}${place}`)) : nodeHash(this.#node(level - 1, place * 2), this.#node(level - 1, place * 2 + 1));

  at(size: number): Offered {
    const root = rootOf(this.#node, size);
    return { origin: this.origin, size, root, checkpoint: signCheckpoint({ origin: this.origin, size, root }, [this.signer]), consistency: async (fromSize) => consistencyProof(this.#node, fromSize, size) };
  }
}

/** Sleeping takes no time: the clock goes on by as much. */
export class FastClock implements Clock {
  ms = 0;
  readonly #startMs = Date.UTC(2026, 0, 1);
  readonly nowMicros = (): bigint => BigInt(Math.floor(this.#startMs + this.ms)) * 1000n;
  readonly monotonicMs = (): number => this.ms;
  readonly sleep = async (ms: number): Promise<void> => {
    await setImmediate();
    this.ms += ms;
  };
}

/** A server on a free port of this machine. */
export async function listen(handler: RequestListener): Promise<{ url: string; [Symbol.asyncDispose]: () => Promise<void> }> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
