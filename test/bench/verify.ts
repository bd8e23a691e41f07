import { hash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedClickHouse } from '@agent-audit/clickhouse-embedded';
import { EventBlockEncoder, migrate, Store, type StoreOptions } from '@agent-audit/queries';
import { EventTape } from '@agent-audit/schemas';
import { CHECKPOINT, folderName, generateSigner, leavesOf, LogWriter, originOf, parseSigner, Salts, signCheckpoint } from '@agent-audit/tlog';
import { folderSource, readTrust, verifyLog, verifyStore } from '@agent-audit/verify';
import { median } from './ingest.ts';
import { lifelikeEvent } from './lifelike.ts';

export interface VerifyResult {
  readonly events: number;
  readonly rounds: readonly VerifyRound[];
  /** Medians of the rounds, as against SHA-256. */
  readonly store_to_sha256: number;
  readonly log_to_sha256: number;
}

/** Events a second. */
interface VerifyRound {
  /** One core, over the same bytes, nothing else. */
  readonly sha256: number;
  /** The log against its checkpoint. */
  readonly log: number;
  /** Every stored event against the log. */
  readonly store: number;
}

const BATCH = 20_000;
const RECEIVED_AT = 1_772_366_400_000_000;

/** Verifying as against hashing: the same events, in turn. */
export async function benchVerify(events: number, rounds: number): Promise<VerifyResult> {
  const dir = await mkdtemp(join(tmpdir(), 'agent-audit-bench-'));
  const engine = await startEmbeddedClickHouse({ dataDir: join(dir, 'clickhouse') });
  const options = { url: engine.url, username: engine.username, password: engine.password, database: 'agent_audit' };
  try {
    await migrate(options);
    const made = await record(options, join(dir, 'logs'), events);
    const results: VerifyRound[] = [];
    for (let round = 0; round <= rounds; round++) {
      const result = await measure(options, made, events);
      if (round > 0) results.push(result);
    }
    const ratio = (of: (round: VerifyRound) => number): number => Number(median(results.map((round) => of(round) / round.sha256)).toFixed(3));
    return { events, rounds: results, store_to_sha256: ratio(({ store }) => store), log_to_sha256: ratio(({ log }) => log) };
  } finally {
    await engine.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

interface Made {
  readonly folder: string;
  readonly trust: ReturnType<typeof readTrust>;
  /** One of the batches. */
  readonly sample: readonly Buffer[];
}

async function record(options: StoreOptions, logs: string, events: number): Promise<Made> {
  const [tenant, collectorId] = ['default', 'c1'];
  const origin = originOf('agent-audit', tenant, collectorId);
  const folder = join(logs, folderName(tenant, collectorId));
  const writer = new LogWriter(folder);
  const secret = Buffer.alloc(32, 1);
  await writeFile(join(logs, 'salt-secret'), secret);
  const salts = new Salts(secret, origin);
  const store = new Store(options);
  const encoder = new EventBlockEncoder();
  const tape = new EventTape();
  let sample: Buffer[] = [];
  for (let from = 0; from < events; from += BATCH) {
    sample = Array.from({ length: Math.min(BATCH, events - from) }, (_, i) => Buffer.from(lifelikeEvent('v', from + i, RECEIVED_AT / 1000)));
    for (const [i, raw] of sample.entries()) {
      tape.take(raw);
      encoder.append(tape, 0, { tenant, logIndex: from + i, flags: 0, receivedAtMicros: RECEIVED_AT + (from + i) * 10_000 }, { segmentId: from.toString(16).padStart(32, '0'), collectorId });
      tape.clear();
    }
    await store.insertNative('events', encoder.columnNames, encoder.finish(), String(from));
    leavesOf(encoder.logRows(), (run) => salts.from(run.firstIndex, run.rows), (_, leaves) => writer.append(leaves));
    encoder.discard();
  }
  await store.close();
  const signer = parseSigner(generateSigner(origin));
  await writeFile(join(folder, CHECKPOINT), signCheckpoint({ origin, ...writer.sync() }, [signer]));
  return { folder, trust: readTrust([signer.verifierKey]), sample };
}

async function measure(store: StoreOptions, { folder, trust, sample }: Made, events: number): Promise<VerifyRound> {
  const rate = async (run: () => Promise<void>): Promise<number> => {
    const begin = performance.now();
    await run();
    return Math.round(events / ((performance.now() - begin) / 1000));
  };
  const sha256 = await rate(async () => {
    for (let done = 0; done < events; done += sample.length) for (const raw of sample) hash('sha256', raw, 'buffer');
  });
  let checkpoint: Awaited<ReturnType<typeof verifyLog>>['checkpoint'];
  const log = await rate(async () => {
    ({ checkpoint } = await verifyLog(await folderSource(folder), { trust }));
  });
  const found = await rate(async () => {
    if (checkpoint === undefined) throw new Error('the log is not verified');
    const report = await verifyStore({ store, folder, checkpoint, threads: availableParallelism() });
    if (report.findings_total > 0 || report.checked['rows'] !== events) throw new Error('the record is not verified');
  });
  return { sha256, log, store: found };
}
