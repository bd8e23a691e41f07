import { setTimeout as sleep } from 'node:timers/promises';

const REQUEST_TIMEOUT_MS = 10_000;

export const pings = async (url: string): Promise<boolean> => {
  try {
    const response = await fetch(`${url}/ping`, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    return (await response.text()) === 'Ok.\n';
  } catch {
    return false;
  }
};

/** Resolves once /ping and SELECT 1 answer, with these credentials; throws the last answer after `limitMs`. */
export const untilAnswering = async (url: string, authorization: string, limitMs: number): Promise<void> => {
  const deadline = Date.now() + limitMs;
  for (;;) {
    let answer = 'no answer to /ping';
    if (await pings(url)) {
      const response = await fetch(`${url}/?query=SELECT%201`, {
        headers: { authorization },
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      answer = await response.text();
      if (answer === '1\n') return;
    }
    if (Date.now() > deadline) throw new Error(`the embedded ClickHouse does not answer: ${answer}`);
    await sleep(50);
  }
};
