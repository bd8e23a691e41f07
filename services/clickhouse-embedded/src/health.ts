import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const REQUEST_TIMEOUT_MS = 10_000;
const RETRY_MS = 50;

/**
 * GET on a connection of its own: a kept-alive one would make the engine wait for it when it stops.
 * Resolves with the body, whatever the status.
 */
const get = (url: string, headers: Record<string, string> = {}): Promise<string> =>
  new Promise((resolve, reject) => {
    request(url, { agent: false, headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) }, (response) =>
      resolve(text(response)),
    )
      .on('error', reject)
      .end();
  });

export const pings = async (url: string): Promise<boolean> => {
  try {
    return (await get(`${url}/ping`)) === 'Ok.\n';
  } catch {
    return false;
  }
};

/** Resolves once /ping and SELECT 1 answer with these credentials; rejects with the last answer after `limitMs`, or when `gone`. */
export const untilAnswering = async (url: string, authorization: string, limitMs: number, gone: AbortSignal): Promise<void> => {
  const deadline = Date.now() + limitMs;
  for (;;) {
    let answer = 'no answer to /ping';
    if (await pings(url)) answer = await get(`${url}/?query=SELECT%201`, { authorization }).catch(String);
    if (answer === '1\n') return;
    if (gone.aborted || Date.now() > deadline) throw new Error(`the embedded ClickHouse does not answer: ${answer}`);
    await sleep(RETRY_MS);
  }
};
