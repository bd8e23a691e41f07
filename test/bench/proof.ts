import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@clickhouse/client';
import { cpuMeter } from './cpu.ts';
import { countedUpTo, median, mergesIdle } from './ingest.ts';
import { ndjsonBodies, postAll } from './posting.ts';
import { runService, type BenchService } from './run-service.ts';

export interface ProofResult {
  readonly events: number;
  /** Medians over the rounds: with proof, as against without. */
  readonly acknowledged: number;
  readonly stored: number;
  /** All under a checkpoint with proof, as against all stored without. */
  readonly proven: number;
  /** Of the log's files, for one event. */
  readonly bytes_per_event: number;
  readonly rounds: readonly ProofRound[];
}

interface ProofRound {
  readonly on: Side;
  readonly off: Side;
}

/** Events a second, and microseconds of CPU per event. */
interface Side {
  readonly acknowledged: number;
  readonly stored: number;
  readonly proven: number;
  readonly cpu_us: Readonly<Record<'service' | 'engine', number>>;
}

/** What proof costs: the same load on two services, one with logs and one without, in turn. */
export async function benchProof(events: number, rounds: number): Promise<ProofResult> {
  const services = { on: await runService(), off: await runService(undefined, { PROOF: 'off' }) };
  try {
    const results: ProofRound[] = [];
    for (let round = 0; round <= rounds; round++) {
      // Who is first in a round is second in the next.
      const order = round % 2 === 0 ? (['on', 'off'] as const) : (['off', 'on'] as const);
      const sides: Partial<Record<'on' | 'off', Side>> = {};
      for (const side of order) sides[side] = await measure(services[side], side, round, events);
      if (round > 0) results.push(sides as ProofRound);
    }
    const ratio = (of: (side: Side) => number, against = of): number => Number(median(results.map(({ on, off }) => of(on) / against(off))).toFixed(3));
    return {
      events, acknowledged: ratio((side) => side.acknowledged), stored: ratio((side) => side.stored), proven: ratio((side) => side.proven, (side) => side.stored),
      bytes_per_event: Number((await logBytes(services.on) / (events * (rounds + 1))).toFixed(2)), rounds: results,
    };
  } finally {
    await services.on.stop();
    await services.off.stop();
  }
}

async function measure(service: BenchService, side: 'on' | 'off', round: number, events: number): Promise<Side> {
  const { url, key, engine, database } = service;
  const client = createClient({ url: engine.url, username: engine.username, password: engine.password, database });
  try {
    const bodies = ndjsonBodies(`r${round}`, events);
    await mergesIdle(client);
    const posting = cpuMeter({ service: service.pid, engine: engine.pid }, events);
    const begin = performance.now();
    const rate = (): number => Math.round(events / ((performance.now() - begin) / 1000));
    await postAll(url, key, bodies);
    const acknowledged = rate();
    await countedUpTo(client, (round + 1) * events);
    const stored = rate();
    if (side === 'on') await provenUpTo(service, (round + 1) * events);
    return { acknowledged, stored, proven: rate(), cpu_us: posting() };
  } finally {
    await client.close();
  }
}

async function provenUpTo({ url, key }: BenchService, size: number): Promise<void> {
  for (;;) {
    const answer = await fetch(`${url}/v1/logs`, { headers: { authorization: `Bearer ${key}` } });
    const { logs } = (await answer.json()) as { logs: { size: number }[] };
    if (logs[0]?.size === size) return;
    await sleep(50);
  }
}

async function logBytes({ dir }: BenchService): Promise<number> {
  const files = (await readdir(join(dir, 'logs'), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const sizes = await Promise.all(files.map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
