import { open, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBareHono } from './bare-hono.ts';
import { lifelikeEvent } from './lifelike.ts';
import { BATCH, ndjsonBodies, Pace, percentile, post, postAll } from './posting.ts';
import { runService, type BenchService } from './run-service.ts';

export interface LatencyResult {
  readonly max_events_per_second: number;
  /** At half of that. */
  readonly acknowledged_ms: { readonly p50: number; readonly p99: number };
  /** One write and fdatasync of a body, alone, in the same folder as the segments. */
  readonly fdatasync_ms: { readonly p50: number; readonly p99: number };
  readonly p99_to_fdatasync: number;
  /** From the acknowledgement of an event until it is in its agent's timeline, at that load. */
  readonly visible_ms: { readonly p50: number; readonly p99: number; readonly probes: number };
}

const SECONDS = 30;
/** Looking costs as much as recording thousands of events; more of it would measure itself. */
const PROBE_EVERY_MS = 500;
const LOOK_EVERY_MS = 100;
const VISIBLE_MS_MAX = 30_000;

/** How long an acknowledgement takes at half of the highest rate, and how long until the event can be seen. */
export async function benchLatency(): Promise<LatencyResult> {
  const service = await runService();
  const pace = new Pace(service.url, service.key, 'pace');
  try {
    await postAll(service.url, service.key, ndjsonBodies('warm', 100_000));
    const events = 300_000;
    const max = events / (await postAll(service.url, service.key, ndjsonBodies('full', events)));
    await sleep(2_000);
    const fdatasync = await measureFdatasync(join(service.dir, 'bench-fdatasync'));
    const end = performance.now() + SECONDS * 1_000;
    const over = (): boolean => performance.now() > end;
    const [, visible] = await Promise.all([pace.run(max / 2, over), probe(service, over)]);
    if (pace.refusals.size > 0) throw new Error(`refused: ${JSON.stringify([...pace.refusals])}`);
    const p99 = percentile(pace.latenciesMs, 0.99);
    return {
      max_events_per_second: Math.round(max),
      acknowledged_ms: { p50: round(percentile(pace.latenciesMs, 0.5)), p99: round(p99) },
      fdatasync_ms: { p50: round(percentile(fdatasync, 0.5)), p99: round(percentile(fdatasync, 0.99)) },
      p99_to_fdatasync: round(p99 / percentile(fdatasync, 0.5)),
      visible_ms: { p50: round(percentile(visible, 0.5)), p99: round(percentile(visible, 0.99)), probes: visible.length },
    };
  } finally {
    pace.close();
    await service.stop();
  }
}

/** Appends bodies to a file, each with a sync, as one alone would. @returns milliseconds of each */
async function measureFdatasync(path: string): Promise<number[]> {
  const bytes = ndjsonBodies('sync', BATCH)[0] as Buffer;
  const file = await open(path, 'wx');
  const times: number[] = [];
  for (let i = 0; i < 300; i++) {
    const begin = performance.now();
    await file.write(bytes, 0, bytes.length, i * bytes.length);
    await file.datasync();
    times.push(performance.now() - begin);
  }
  await file.close();
  await rm(path);
  return times;
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
