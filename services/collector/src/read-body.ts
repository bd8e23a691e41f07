import { Readable, type Transform } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import type { HttpBindings } from '@hono/node-server';
import { Problem } from '@agent-audit/shared';
import type { Context } from 'hono';
import type { BodyBudget, BodyShare } from './body-budget.ts';
import { BodyPool } from './body-pool.ts';

/** RFC 9110 section 8.4.1, RFC 8878 (zstd), RFC 7932 (br). */
const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
  // A window of 16 MiB at most: the frame's header says how much memory the decoder takes.
  zstd: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 24 } }),
};

/** What is left of the body is not read, so the next request cannot follow on this connection. */
const UNREAD = { connection: 'close' };

export interface Body {
  readonly bytes: Buffer;
  /** To be grown by whoever makes more of the bytes, such as by unpacking them. */
  readonly share: BodyShare;
  /** Gives the memory back; nobody may look at `bytes` any more. Once is enough. */
  release(): void;
}

const pool = new BodyPool(1024 * 1024, 32);

/**
 * Reads a request's body, decoded. Bytes are counted as they come out of the decoder, whatever `Content-Length`
 * says, and reading stops at the limit, so a bomb costs no more than the limit.
 *
 * @param maxBytes largest body after decoding
 * @param budget for all bodies together
 * @throws Problem `body_too_large`, `unsupported_encoding`, `malformed_encoding`, `empty_body`, or `unavailable`
 *   where the budget is used up
 */
export async function readBody(c: Context, maxBytes: number, budget: BodyBudget): Promise<Body> {
  const encoding = c.req.header('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (encoding !== 'identity' && !Object.hasOwn(DECODERS, encoding)) {
    throw new Problem('unsupported_encoding', `Content-Encoding \`${encoding.slice(0, 40)}\` is not supported; send gzip, zstd, br, deflate or none.`, {}, { 'accept-encoding': 'gzip, zstd, br, deflate' });
  }
  const source = bodyStream(c);
  if (source === null) throw emptyBody();
  const announced = c.req.header('content-length');
  if (encoding === 'identity' && Number(announced) > maxBytes) throw tooLarge(maxBytes);
  const share = budget.share();
  try {
    const body = encoding === 'identity' && announced !== undefined && /^\d+$/.test(announced)
      ? await readAnnounced(source, Number(announced), share)
      : { bytes: await decode(source, encoding, maxBytes, share), share, release: () => share.release() };
    if (body.bytes.length === 0) throw emptyBody();
    return body;
  } catch (error) {
    share.release();
    // The sender went away, or was cut because it took too long: not a failure of ours.
    if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') throw new Problem('malformed_encoding', 'The connection was closed before the body was complete.', {}, UNREAD);
    throw error;
  }
}

/** The socket's own stream where there is one: a web stream around it costs more than reading it. */
function bodyStream(c: Context): AsyncIterable<Uint8Array> | null {
  const { incoming } = c.env as Partial<HttpBindings>;
  return incoming ?? (c.req.raw.body as AsyncIterable<Uint8Array> | null);
}

/** Node's parser hands out no more than was announced; it may be less when the sender goes away. */
async function readAnnounced(source: AsyncIterable<Uint8Array>, bytes: number, share: BodyShare): Promise<Body> {
  share.grow(bytes);
  const buffer = pool.take(bytes);
  let length = 0;
  try {
    for await (const chunk of source) {
      buffer.set(chunk, length);
      length += chunk.length;
    }
    if (length < bytes) throw new Problem('malformed_encoding', `The body ends after ${length} bytes; ${bytes} were announced.`, {}, UNREAD);
  } catch (error) {
    pool.give(buffer);
    throw error;
  }
  let given = false;
  const release = (): void => {
    if (given) return;
    given = true;
    share.release();
    pool.give(buffer);
  };
  return { bytes: buffer.subarray(0, length), share, release };
}

/**
 * Collects and decodes bytes, at most `maxBytes` of them.
 *
 * @param share grows by what is collected
 * @throws Problem `body_too_large` or `malformed_encoding`; what `share` throws
 */
export async function decode(bytes: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, encoding: string, maxBytes: number, share?: BodyShare): Promise<Buffer> {
  const decoder = DECODERS[encoding]?.();
  const source = Readable.from(bytes, { objectMode: false });
  let received = 0;
  if (decoder !== undefined) {
    source.on('data', (chunk: Buffer) => (received += chunk.length));
    source.once('error', (error) => decoder.destroy(error)).pipe(decoder);
  }
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of (decoder ?? source) as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBytes) throw tooLarge(maxBytes);
      share?.grow(chunk.length);
      chunks.push(chunk);
    }
  } catch (error) {
    if (decoder === undefined || error instanceof Problem || decoder.errored !== error || source.errored !== null) throw error;
    throw new Problem('malformed_encoding', `The body is not valid ${encoding}: ${(error as Error).message}.`, {}, UNREAD);
  } finally {
    source.destroy();
    decoder?.destroy();
  }
  // Decoders of zlib say how much they took; what they left would be dropped in silence.
  const taken = (decoder as { bytesWritten?: number } | undefined)?.bytesWritten ?? received;
  if (taken < received) throw new Problem('malformed_encoding', `The body holds ${received - taken} bytes behind the end of its ${encoding} stream.`);
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length);
}

function tooLarge(maxBytes: number): Problem {
  return new Problem('body_too_large', `The body is larger than ${maxBytes} bytes after decompression; send the events in several requests.`, { limit_bytes: maxBytes }, UNREAD);
}

function emptyBody(): Problem {
  return new Problem('empty_body', 'The body is empty; send one event, a JSON array of events, or NDJSON.');
}
