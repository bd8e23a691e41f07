import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { startBareHono } from './bare-hono.ts';
import { Counter, highestRate } from './highest-rate.ts';
import { lifelikeEvent } from './lifelike.ts';
import { BATCH, ndjsonBodies, Pace, percentile, post } from './posting.ts';
import { runService, type BenchService } from './run-service.ts';

export interface LatencyResult {
  readonly max_events_per_second: number;
  /** At half of that. */
  readonly acknowledged_ms: { readonly p50: number; readonly p99: number };
  /** One write and fdatasync of as many bytes as a body has, on the same disk, before the load. */
  readonly fdatasync_quiet_ms: { readonly p50: number; readonly p99: number };
  /** The same beside the load: what nothing that syncs can do better than. */
  readonly fdatasync_beside_ms: { readonly p50: number; readonly p99: number };
  readonly p99_to_fdatasync_quiet_p50: number;
  readonly p99_to_fdatasync_beside_p99: number;
  /** From the acknowledgement of an event until it is in its agent's timeline, at that load. */
  readonly visible_ms: { readonly p50: number; readonly p99: number; readonly probes: number };
}

const SECONDS = 30;
const QUIET_MS = 3_000;
const SYNC_EVERY_MS = 50;
/** Looking costs as much as recording thousands of events; more of it would measure itself. */
const PROBE_EVERY_MS = 500;
const LOOK_EVERY_MS = 100;
const VISIBLE_MS_MAX = 30_000;

/** How long an acknowledgement takes at half of the highest rate, and how long until the event can be seen. */
export async function benchLatency(): Promise<LatencyResult> {
  const service = await runService();
  const counter = new Counter(service);
  const pace = new Pace(service.url, service.key, 'pace');
  try {
    const { rate: max } = await highestRate(service, counter);
    await sleep(2_000);
    const alone = new FdatasyncMeter(service.dir);
    await sleep(QUIET_MS);
    const quiet = await alone.end();
    const beside = new FdatasyncMeter(service.dir);
    const end = performance.now() + SECONDS * 1_000;
    const over = (): boolean => performance.now() > end;
    const [, visible] = await Promise.all([pace.run(max / 2, over), probe(service, over)]);
    const loaded = await beside.end();
    if (pace.refusals.size > 0) throw new Error(`refused: ${JSON.stringify([...pace.refusals])}`);
    const p99 = percentile(pace.latenciesMs, 0.99);
    return {
      max_events_per_second: Math.round(max),
      acknowledged_ms: { p50: round(percentile(pace.latenciesMs, 0.5)), p99: round(p99) },
      fdatasync_quiet_ms: { p50: round(percentile(quiet, 0.5)), p99: round(percentile(quiet, 0.99)) },
      fdatasync_beside_ms: { p50: round(percentile(loaded, 0.5)), p99: round(percentile(loaded, 0.99)) },
      p99_to_fdatasync_quiet_p50: round(p99 / percentile(quiet, 0.5)),
      p99_to_fdatasync_beside_p99: round(p99 / percentile(loaded, 0.99)),
      visible_ms: { p50: round(percentile(visible, 0.5)), p99: round(percentile(visible, 0.99)), probes: visible.length },
    };
  } finally {
    pace.close();
    await counter.close();
    await service.stop();
  }
}

/** A thread that writes and syncs as many bytes as a body has, now and again. */
class FdatasyncMeter {
  readonly #worker: Worker;
  readonly #times: Promise<number[]>;

  constructor(folder: string) {
    const bytes = (ndjsonBodies('sync', BATCH)[0] as Buffer).length;
    this.#worker = new Worker(new URL('./fdatasync-worker.ts', import.meta.url), { workerData: { path: join(folder, 'bench-fdatasync'), bytes, everyMs: SYNC_EVERY_MS } });
    this.#times = once(this.#worker, 'message').then(([times]) => times as number[]);
  }

  /** @returns milliseconds of each */
  end(): Promise<number[]> {
    this.#worker.postMessage('end');
    return this.#times;
  }
}

/** Single events of agents of their own, looked for as soon as they are acknowledged. */
async function probe({ url, key }: BenchService, over: () => boolean): Promise<number[]> {
  const agent = new Agent({ keepAlive: true });
  const times: Promise<number>[] = [];
  for (let n = 0; !over(); n++) {
    await sleep(PROBE_EVERY_MS);
    const event = JSON.parse(lifelikeEvent('probe', n, Date.now())) as { agent: { id: string }; time: string };
    event.agent.id = `probe-${n}`;
    event.time = new Date().toISOString();
    times.push(post(agent, url, key, Buffer.from(JSON.stringify(event))).then(() => untilSeen(url, key, event.agent.id)));
  }
  const seen = await Promise.all(times);
  agent.destroy();
  return seen;
}

async function untilSeen(url: string, key: string, agentId: string): Promise<number> {
  const begin = performance.now();
  while (performance.now() - begin < VISIBLE_MS_MAX) {
    const answer = await fetch(`${url}/v1/agents/${agentId}/timeline?from=-1h`, { headers: { authorization: `Bearer ${key}` } });
    if (((await answer.json()) as { events: unknown[] }).events.length > 0) return performance.now() - begin;
    await sleep(LOOK_EVERY_MS);
  }
  throw new Error(`${agentId} was never seen`);
}

export interface SinglesResult {
  /** One event a request, over 64 connections. */
  readonly posts_per_second: number;
  /** The same requests against a hono route that reads the body and answers. */
  readonly bare_hono_per_second: number;
  readonly ratio: number;
}

const SINGLE_CONNECTIONS = 64;

/** Requests of one event each, as a ratio to a bare hono route; rounds alternate. */
export async function benchSingles(rounds: number): Promise<SinglesResult> {
  const service = await runService();
  const bare = await startBareHono();
  try {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const bodies = Array.from({ length: 20_000 }, (_, n) => Buffer.from(lifelikeEvent(`s${round}`, n, Date.now() - 1_000_000)));
      const [a, b] = [await singles(service.url, service.key, bodies), await singles(bare.url, service.key, bodies)];
      if (round > 0) {
        ours.push(a);
        theirs.push(b);
      }
    }
    return {
      posts_per_second: Math.round(percentile(ours, 0.5)), bare_hono_per_second: Math.round(percentile(theirs, 0.5)),
      ratio: Number(percentile(ours.map((rate, i) => rate / (theirs[i] as number)), 0.5).toFixed(2)),
    };
  } finally {
    bare.stop();
    await service.stop();
  }
}

async function singles(url: string, key: string, bodies: readonly Buffer[]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: SINGLE_CONNECTIONS });
  const begin = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: SINGLE_CONNECTIONS }, async () => {
    for (let body = bodies[next++]; body !== undefined; body = bodies[next++]) await single(agent, url, key, body);
  }));
  agent.destroy();
  return bodies.length / ((performance.now() - begin) / 1000);
}

function single(agent: Agent, url: string, key: string, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}/v1/events`,
      { agent, method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': body.length } },
      (answer) => {
        answer.resume().once('end', () => (answer.statusCode === 202 ? resolve() : reject(new Error(`${answer.statusCode}`))));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

const round = (ms: number): number => Math.round(ms * 100) / 100;
