import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { startEmbeddedClickHouse } from '@agent-audit/clickhouse-embedded';
import { CollectorRuns, KafkaBuffer, KafkaConsumer, QuarantineBounds, Recorder, tenantFinder, type EventSink } from '@agent-audit/collector';
import { migrate, readLogRows, Store, StoreError, type StoreOptions } from '@agent-audit/queries';
import type { Proofs } from '@agent-audit/query';
import { createKafka, createTelemetry, holdDataFolder, KeyRing, OPERATOR_TENANT, startHttpServer, systemClock, TENANT_HEADER, type Clock, type Config, type Kafka, type Log, type Telemetry } from '@agent-audit/shared';
import { Anchors, EventLogs, openLogKeys, parseAnchorTargets } from '@agent-audit/tlog';
import { createApp } from './app.ts';

export interface Standalone {
  /** Where the API listens. */
  readonly url: string;
  /** The first key of tenant `default`, only when it was made at this start: nobody can read it again. */
  readonly adminKey: string | undefined;
  /** The embedded engine's process; undefined with a server of its own. */
  readonly enginePid: () => number | undefined;
  /** Stops intake, finishes what was accepted, closes the store, ends the engine. */
  stop(): Promise<void>;
}

/** How long requests under way may take once the service is told to stop. */
const GRACE_MS = 5_000;

/**
 * Starts the whole service on one machine and resolves when it can accept and answer.
 *
 * @throws Error that says what to do when it cannot start; whatever was started before is stopped again
 */
export async function startStandalone(config: Config, log: Log): Promise<Standalone> {
  const closing: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };
  try {
    const dataDir = resolve(config.DATA_DIR);
    const giveBack = await holdDataFolder(dataDir);
    closing.push(async () => giveBack());
    const clock = systemClock;
    const telemetry = createTelemetry();
    const { options, enginePid } = await findStore(config, dataDir, log, closing);
    for (const name of await whenThere(options.url, clock, log, () => migrate(options))) log.info({ migration: name }, 'brought the database up to date');
    const store = new Store(options);
    closing.push(() => store.close());
    const keys = new KeyRing(store, clock, log, { eventsPerSecond: config.RATE_EVENTS_PER_SECOND, requestsPerSecond: config.RATE_REQUESTS_PER_SECOND });
    const adminKey = await keys.ensureAdminKey(config.ADMIN_KEY);
    const collectorId = config.COLLECTOR_ID ?? (await keptCollectorId(dataDir));
    const proofs = config.PROOF === 'on' ? await openProofs(config, dataDir, { store, collectorId, log, clock, telemetry }) : undefined;
    // After the recorder: what it stores last is in the last checkpoint.
    if (proofs !== undefined) closing.push(() => proofs.stop());
    const recorder = new Recorder({ ...(proofs === undefined ? {} : { logs: proofs.logs }), store, collectorId, folder: join(dataDir, 'segments'), maxBytes: config.SEGMENTS_MAX_BYTES, reserveBytes: config.DISK_RESERVE_BYTES, log, clock, telemetry });
    await recorder.start();
    closing.push(() => recorder.stop());
    const bounds = new QuarantineBounds({ store, clock, log, telemetry, maxBytes: config.QUARANTINE_MAX_BYTES, maxDays: config.QUARANTINE_MAX_DAYS });
    bounds.start();
    closing.push(() => bounds.stop());
    const kafka = await createKafka(config, log);
    const buffer = config.BUFFER === 'kafka' && kafka !== undefined ? bufferIn(kafka, config, log, closing) : undefined;
    const runs = new CollectorRuns({ store, collectorId, clock, log, takesIn: () => recorder.state.refusing === undefined });
    closing.push(() => runs.stop());
    const app = createApp({
      store, keys, proofs, recorder, config, clock, log,
      sink: buffer ?? recorder,
      // What waits in Kafka is counted when it is recorded.
      telemetry: buffer === undefined ? telemetry : { ...telemetry, events: () => undefined },
    });
    const server = await startHttpServer(app, { hostname: config.HOST, port: config.PORT, limits: config, onRefused: () => telemetry.connectionRefused() });
    closing.push(() => server.stop(GRACE_MS));
    runs.start();
    if (kafka !== undefined) readFromKafka(kafka, config, recorder, { log, clock, telemetry }, closing);
    log.info({ url: server.url, collector_id: collectorId, engine: enginePid() === undefined ? 'server' : 'embedded' }, 'ready');
    return { url: server.url, adminKey, enginePid, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const DAY_MS = 86_400_000;

/** The logs of this collector, and the keys that sign them. */
async function openProofs(
  config: Config,
  dataDir: string,
  { store, collectorId, ...deps }: { readonly store: Store; readonly collectorId: string; readonly log: Log; readonly clock: Clock; readonly telemetry: Telemetry },
): Promise<Proofs & { stop(): Promise<void> }> {
  const { LOG_SIGN_COMMAND: command, LOG_PUBLIC_KEY: publicKey } = config;
  const keys = await openLogKeys({
    ...deps,
    folder: join(dataDir, 'log-keys'),
    keyFiles: config.LOG_KEY_FILE ?? [],
    command: command === undefined || publicKey === undefined ? undefined : { command, publicKey },
    overlapMs: config.LOG_KEY_OVERLAP_DAYS * DAY_MS,
  });
  const anchors = new Anchors({
    ...deps,
    targets: parseAnchorTargets(config.ANCHORS ?? [], {
      clock: deps.clock, webhookSecret: config.ANCHOR_WEBHOOK_SECRET,
      s3: { endpoint: config.ANCHOR_S3_ENDPOINT, region: config.ANCHOR_S3_REGION, accessKeyId: config.ANCHOR_S3_ACCESS_KEY_ID, secretAccessKey: config.ANCHOR_S3_SECRET_ACCESS_KEY },
    }),
    stateFolder: join(dataDir, 'anchored'),
    intervalMs: config.ANCHOR_INTERVAL_SECONDS * 1000,
  });
  const logs = await EventLogs.open({
    ...deps, collectorId, signer: keys,
    onCheckpoint: (checkpoint) => anchors.offer(checkpoint),
    folder: join(dataDir, 'logs'),
    prefix: config.LOG_NAME,
    recorded: (tenant, firstIndex) => readLogRows(store, tenant, collectorId, firstIndex),
  });
  return {
    logs, keys,
    cosignatures: (origin, size) => anchors.cosignatures(origin, size),
    stop: async () => {
      await logs.stop();
      await anchors.stop();
    },
  };
}

/** A server may be started after those who need it, and be away for a while: keys are in it, so nothing can be taken in before. */
async function whenThere<T>(url: string, clock: Clock, log: Log, run: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof StoreError) || !error.passing) throw error;
      if (attempt % 30 === 0) log.warn({ err: error, url }, 'ClickHouse does not answer; waiting for it');
      await clock.sleep(1_000);
    }
  }
}

/** Where events that come over HTTP wait for a consumer, here or elsewhere. */
function bufferIn(kafka: Kafka, config: Config, log: Log, closing: (() => Promise<void>)[]): EventSink {
  const buffer = new KafkaBuffer({ kafka, topic: config.KAFKA_TOPIC[0] as string, log });
  closing.push(() => buffer.stop());
  return buffer;
}

function readFromKafka(
  kafka: Kafka,
  config: Config,
  sink: EventSink,
  deps: { readonly log: Log; readonly clock: Clock; readonly telemetry: Telemetry },
  closing: (() => Promise<void>)[],
): void {
  const consumer = new KafkaConsumer({
    ...deps, kafka, sink,
    topics: config.KAFKA_TOPIC,
    group: config.KAFKA_GROUP,
    findTenant: tenantFinder(config.KAFKA_TENANT ?? (config.BUFFER === 'kafka' ? `header:${TENANT_HEADER}` : `fixed:${OPERATOR_TENANT}`)),
    limits: { eventBytes: config.MAX_EVENT_BYTES, nesting: config.MAX_NESTING },
  });
  consumer.start();
  closing.push(() => consumer.stop());
}

async function findStore(
  config: Config,
  dataDir: string,
  log: Log,
  closing: (() => Promise<void>)[],
): Promise<{ options: StoreOptions; enginePid: () => number | undefined }> {
  const database = config.CLICKHOUSE_DATABASE;
  if (config.CLICKHOUSE_URL !== undefined) {
    return {
      options: { url: config.CLICKHOUSE_URL, username: config.CLICKHOUSE_USER, password: config.CLICKHOUSE_PASSWORD, database },
      enginePid: () => undefined,
    };
  }
  const engine = await startEmbeddedClickHouse({ dataDir: join(dataDir, 'clickhouse'), log });
  closing.push(() => engine.stop());
  // For whoever verifies the record while it runs; the engine is reached from this machine only.
  await writeFile(join(dataDir, 'engine.json'), `${JSON.stringify({ url: engine.url, username: engine.username, password: engine.password, database })}\n`, { mode: 0o600 });
  return { options: { url: engine.url, username: engine.username, password: engine.password, database }, enginePid: () => engine.pid };
}

/** A name for this collector that lasts as long as its data folder: `log_index` counts under it. */
async function keptCollectorId(dataDir: string): Promise<string> {
  const file = join(dataDir, 'collector-id');
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const id = `collector-${randomUUID().slice(0, 8)}`;
    await writeFile(file, `${id}\n`, { mode: 0o600, flag: 'wx', flush: true });
    return id;
  }
}
