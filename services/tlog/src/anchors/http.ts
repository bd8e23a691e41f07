import { AnchorError } from './anchor.ts';

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
const INSECURE = 'insecure+';
const SHOWN_MAX = 200;

/**
 * Https; http to this host only, unless it is spelt `insecure+http://…`.
 *
 * @param what is named in errors; the text is not, as it may hold a secret
 * @throws AnchorError
 */
export function parseUrl(text: string, what: string): URL {
  const isInsecure = text.startsWith(`${INSECURE}http:`);
  const url = URL.parse(isInsecure ? text.slice(INSECURE.length) : text);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) throw new AnchorError('anchor_setting', `${what} is no URL that begins with https://`);
  if (url.protocol === 'http:' && !isInsecure && !LOOPBACK.test(url.hostname)) throw new AnchorError('anchor_setting', `${what} would be reached unencrypted; use https://, or ${INSECURE}http:// where that is meant`);
  if (url.username !== '' || url.password !== '') throw new AnchorError('anchor_setting', `${what} must not hold a user or a password`);
  return url;
}

export interface Request {
  readonly method: 'POST' | 'PUT';
  readonly headers: Record<string, string> | Headers;
  readonly body: string;
}

/**
 * Sends, and waits for the head of the answer. Redirects are not followed.
 *
 * @param timeoutMs for all of it, its body included
 * @throws AnchorError when nobody answers
 */
export async function send(url: URL, request: Request, signal: AbortSignal, timeoutMs: number): Promise<Response> {
  try {
    return await fetch(url, { ...request, redirect: 'manual', signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) });
  } catch (error) {
    throw unreachable(url, error, timeoutMs);
  }
}

/** Reads no further: a yes is a yes. */
export async function drop(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {});
}

/** @returns the body @throws AnchorError when it is longer than that many bytes, or does not end in time */
export async function readText(url: URL, response: Response, bytesMax: number, timeoutMs: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk);
      length += chunk.length;
      // What ends the loop cuts the connection.
      if (length > bytesMax) break;
    }
  } catch (error) {
    throw unreachable(url, error, timeoutMs);
  }
  if (length > bytesMax) throw new AnchorError('anchor_answer', `${url.host} has answered ${response.status} with more than ${bytesMax} bytes`);
  return Buffer.concat(chunks).toString();
}

/** What an answer says that is not the right one. */
export async function refusal(url: URL, response: Response, timeoutMs: number): Promise<AnchorError> {
  const text = await readText(url, response, 16_384, timeoutMs).catch(() => '');
  // oxlint-disable-next-line no-control-regex -- they have no place in a log
  const said = text.replaceAll(/[\0-\x1f\x7f]+/g, ' ').trim().slice(0, SHOWN_MAX);
  return new AnchorError('anchor_refused', `${url.host} has answered ${response.status}${said === '' ? '' : `: ${said}`}`);
}

function unreachable(url: URL, error: unknown, timeoutMs: number): AnchorError {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  const reason = name === 'TimeoutError' ? `has not answered within ${timeoutMs} ms` : `cannot be reached: ${cause?.code ?? cause?.message ?? message}`;
  return new AnchorError('anchor_unreachable', `${url.host} ${reason}`, { cause: error });
}
