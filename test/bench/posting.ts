import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { lifelikeEvent } from './lifelike.ts';

/** Events to a body. */
export const BATCH = 500;
/** Enough that the service is never without work: more only means that bodies lie half read beside each other. */
const CONNECTIONS = 16;

/** Bodies of NDJSON with events of one run, the same for the same numbers. @param first number of the first event */
export function ndjsonBodies(run: string, events: number, firstEvent = 0): Buffer[] {
  const startMs = Date.now() - events * 10;
  return Array.from({ length: Math.ceil(events / BATCH) }, (_, body) => {
    const first = firstEvent + body * BATCH;
    return Buffer.from(Array.from({ length: Math.min(BATCH, firstEvent + events - first) }, (__, n) => `${lifelikeEvent(run, first + n, startMs)}\n`).join(''));
  });
}

/** Posts bodies one after the other over many connections. @returns seconds until the last answer */
export async function postAll(url: string, key: string, bodies: readonly Buffer[]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const begin = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (let body = bodies[next++]; body !== undefined; body = bodies[next++]) await post(agent, url, key, body);
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  agent.destroy();
  return seconds;
}

/** @throws Error for every answer but one that took all */
export function post(agent: Agent, url: string, key: string, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}/v1/events`,
      { agent, method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/x-ndjson', 'content-length': body.length } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => (answer.statusCode === 202 && text.includes('"rejected":[]') ? resolve() : reject(new Error(`${answer.statusCode}: ${text.slice(0, 500)}`))));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}


/**
 * Bodies of NDJSON at a pace, whatever becomes of them: the n-th is sent when its time has come, also when those before it
 * are not answered yet. The ids are numbered from 0, so that all are new.
 */
export class Pace {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 512 });
  readonly #url: string;
  readonly #key: string;
  readonly #template: Buffer;
  readonly #idAt: number[] = [];
  readonly latenciesMs: number[] = [];
  readonly refusals = new Map<string, number>();
  sent = 0;
  acknowledged = 0;

  constructor(url: string, key: string, run: string) {
    this.#url = url;
    this.#key = key;
    this.#template = ndjsonBodies(run, BATCH)[0] as Buffer;
    const id = Buffer.from(`"event_id":"${run}-`);
    for (let at = this.#template.indexOf(id); at !== -1; at = this.#template.indexOf(id, at + 1)) this.#idAt.push(at + id.length);
  }

  /** @param eventsPerSecond in bodies of `BATCH` @param until asked before each body */
  async run(eventsPerSecond: number, until: () => boolean): Promise<void> {
    const begin = performance.now();
    const under: Set<Promise<void>> = new Set();
    for (let n = 0; !until(); n++) {
      const due = begin + (n * BATCH * 1000) / eventsPerSecond;
      const wait = due - performance.now();
      if (wait > 0) await sleep(wait);
      const sent = this.#send(due).finally(() => under.delete(sent));
      under.add(sent);
    }
    await Promise.all(under);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(due: number): Promise<void> {
    const body = Buffer.from(this.#template);
    for (const at of this.#idAt) body.write(String(this.sent++).padStart(10, '0'), at, 'latin1');
    try {
      await post(this.#agent, this.#url, this.#key, body);
      this.acknowledged += BATCH;
    } catch (error) {
      const what = /"detail":"([^"]*)/.exec((error as Error).message)?.[1] ?? (error as Error).message;
      this.refusals.set(what, (this.refusals.get(what) ?? 0) + 1);
    }
    this.latenciesMs.push(performance.now() - due);
  }
}

export function percentile(values: readonly number[], at: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * at))] ?? Number.NaN;
}
