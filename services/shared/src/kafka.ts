/** The one place where kafkajs is imported: 2.2.4 is its last release, and what it needs to run well today is done here. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import kafkajs from 'kafkajs';
import type { Admin, Batch, Consumer, ConsumerConfig, KafkaConfig, LogEntry, Producer, SASLOptions } from 'kafkajs';
import { ConfigError, type Config } from './config.ts';
import { gzipCodec, lz4Codec, snappyCodec, zstdCodec } from './kafka-codecs.ts';
import type { Log } from './log.ts';

export type { Admin, Consumer, EachBatchPayload, IHeaders, KafkaMessage, Message, Producer } from 'kafkajs';

/** What a fetch gave of one partition. */
export interface FetchedBatch extends Batch {
  /** Whether the consumer still has the partitions that it had when it fetched this. */
  readonly isCurrent: () => boolean;
}

const { CompressionCodecs, CompressionTypes } = kafkajs;
export { CompressionTypes };

/** Makes clients of one cluster. Nothing connects before it is told to. */
export interface Kafka {
  consumer(options: ConsumerConfig): Consumer;
  producer(): Producer;
  admin(): Admin;
}

export type KafkaSettings = Pick<
  Config,
  'KAFKA_BROKERS' | 'KAFKA_CLIENT_ID' | 'KAFKA_TLS' | 'KAFKA_TLS_CA_FILE' | 'KAFKA_TLS_CERT_FILE' | 'KAFKA_TLS_KEY_FILE' | 'KAFKA_SASL_MECHANISM' | 'KAFKA_USERNAME' | 'KAFKA_PASSWORD'
>;

/**
 * @returns undefined where no brokers are set
 * @throws ConfigError naming a file of certificates that cannot be read
 */
export async function createKafka(config: Partial<KafkaSettings>, log: Log): Promise<Kafka | undefined> {
  if (config.KAFKA_BROKERS === undefined) return undefined;
  const sasl = saslOptions(config);
  const options: KafkaConfig = {
    brokers: [...config.KAFKA_BROKERS],
    clientId: config.KAFKA_CLIENT_ID ?? 'agent-audit',
    ssl: config.KAFKA_TLS === true ? await tlsOptions(config) : false,
    ...(sasl === undefined ? {} : { sasl }),
    connectionTimeout: 5_000,
    // Whoever uses these clients repeats by itself, and must hear of failures before long.
    retry: { initialRetryTime: 200, maxRetryTime: 2_000, retries: 5 },
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => (entry) => writeLog(log, entry),
  };
  const kafka = new kafkajs.Kafka(options);
  return {
    // kafkajs would restart a consumer only after some of its errors; ours is restarted after all, by who runs it.
    consumer: (consumer) => kafka.consumer({ ...consumer, retry: { ...options.retry, restartOnFailure: async () => false } }),
    // The partitioner of Java's clients; named, so that kafkajs does not warn that it once was another.
    producer: () => kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner }),
    admin: () => kafka.admin(),
  };
}

async function tlsOptions(config: Partial<KafkaSettings>): Promise<Exclude<KafkaConfig['ssl'], boolean | undefined>> {
  const [ca, cert, key] = await Promise.all([
    readSetting(config, 'KAFKA_TLS_CA_FILE'), readSetting(config, 'KAFKA_TLS_CERT_FILE'), readSetting(config, 'KAFKA_TLS_KEY_FILE'),
  ]);
  return { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) };
}

async function readSetting(config: Partial<KafkaSettings>, name: 'KAFKA_TLS_CA_FILE' | 'KAFKA_TLS_CERT_FILE' | 'KAFKA_TLS_KEY_FILE'): Promise<string | undefined> {
  const file = config[name];
  if (file === undefined) return undefined;
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(`AGENT_AUDIT_${name}: the file cannot be read (${error.code ?? error.message})`);
  });
}

function saslOptions({ KAFKA_SASL_MECHANISM: mechanism, KAFKA_USERNAME: username = '', KAFKA_PASSWORD: password = '' }: Partial<KafkaSettings>): SASLOptions | undefined {
  if (mechanism === undefined) return undefined;
  return { mechanism, username, password } as SASLOptions;
}

/** What kafkajs says goes into the log by name: what else it has at hand may be a message. */
const LOGGED = ['broker', 'groupId', 'memberId', 'topic', 'partition', 'error', 'retryCount', 'retryTime'] as const;

function writeLog(log: Log, { level, namespace, log: { message, ...more } }: LogEntry): void {
  const known: Record<string, unknown> = { kafkajs: namespace };
  for (const name of LOGGED) {
    const value: unknown = more[name];
    if (typeof value === 'string' || typeof value === 'number') known[name] = value;
  }
  if (level === kafkajs.logLevel.ERROR) log.error(known, message);
  else if (level === kafkajs.logLevel.WARN) log.warn(known, message);
  else log.debug(known, message);
}

CompressionCodecs[CompressionTypes.GZIP] = () => gzipCodec;
CompressionCodecs[CompressionTypes.Snappy] = () => snappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = () => lz4Codec;
CompressionCodecs[CompressionTypes.ZSTD] = () => zstdCodec;

interface RequestQueue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
}

/** How soon a request that waits for others to be answered is looked at again, as in kafkajs. */
const CHECK_PENDING_MS = 10;

/**
 * kafkajs sets this timer after every answer, also when nothing waits and no throttle is in effect: then with a delay of
 * minus the present time, which Node 24 warns of and takes for 1 ms, over and over on every idle connection.
 * A request that comes while one has to wait sets it itself (`push`).
 */
const require = createRequire(import.meta.url);
const { prototype: queue } = require('kafkajs/src/network/requestQueue') as { prototype: RequestQueue };
queue.scheduleCheckPendingRequests = function scheduleCheckPendingRequests(this: RequestQueue) {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
  const throttledMs = this.throttledUntil - Date.now();
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  }, throttledMs > 0 ? throttledMs : CHECK_PENDING_MS);
};

interface ConsumerGroup {
  readonly generationId: number | null;
  readonly memberId: string | null;
  fetch(nodeId: string): Promise<(Batch & { isCurrent?: () => boolean })[]>;
}

/**
 * One broker's fetch may make kafkajs join the group anew while what another broker gave still waits to be handled. What
 * was fetched before must not be taken then: the group may resume at an earlier offset, or the partition be another's.
 */
const { prototype: group } = require('kafkajs/src/consumer/consumerGroup') as { prototype: ConsumerGroup };
const { fetch } = group;
group.fetch = async function fetchOfOneGeneration(this: ConsumerGroup, nodeId) {
  const { generationId, memberId } = this;
  const isCurrent = (): boolean => this.generationId === generationId && this.memberId === memberId;
  const batches = await fetch.call(this, nodeId);
  if (!isCurrent()) return [];
  for (const batch of batches) batch.isCurrent = isCurrent;
  return batches;
};
