import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEmbeddedClickHouse } from '@agent-audit/clickhouse-embedded';
import { KafkaConsumer, Recorder, tenantFinder } from '@agent-audit/collector';
import { migrate, Store } from '@agent-audit/queries';
import { createKafka, createLog, createTelemetry, readConfig, systemClock, type Admin, type Kafka } from '@agent-audit/shared';
import { startKafkaBroker } from '../support/kafka-broker.ts';
import { cpuMeter } from './cpu.ts';
import { lifelikeEvent } from './lifelike.ts';

export interface KafkaResult {
  readonly events: number;
  readonly event_bytes: number;
  readonly partitions: number;
  readonly consumer_events_per_second: number;
  readonly empty_eachbatch_events_per_second: number;
  readonly ratio: number;
  readonly rounds: readonly Round[];
}

interface Round {
  readonly consumer: number;
  readonly empty: number;
  /** Microseconds of CPU per event, by process. */
  readonly consumer_cpu_us: Readonly<Record<'service' | 'engine' | 'broker', number>>;
  readonly empty_cpu_us: Readonly<Record<'client' | 'broker', number>>;
}

const TOPIC = 'agent-audit.bench';
const PARTITIONS = 3;
const SEND = 1_000;

/**
 * (c) Events per second from a topic into the record, committed, as against an `eachBatch` of kafkajs that does nothing,
 * over the same topic. Both from the moment at which they have their partitions; rounds alternate.
 */
export async function benchKafka(events: number, rounds: number): Promise<KafkaResult> {
  const dir = await mkdtemp(join(tmpdir(), 'agent-audit-bench-'));
  const log = createLog('silent', 'bench');
  const broker = await startKafkaBroker();
  const engine = await startEmbeddedClickHouse({ dataDir: join(dir, 'clickhouse') });
  const options = { url: engine.url, username: engine.username, password: engine.password, database: 'agent_audit' };
  await migrate(options);
  const store = new Store(options);
  const telemetry = createTelemetry();
  const recorder = new Recorder({ store, collectorId: 'bench', folder: join(dir, 'segments'), maxBytes: 32 * 1024 ** 3, reserveBytes: 0, log, clock: systemClock, telemetry });
  await recorder.start();
  const kafka = (await createKafka(readConfig({ AGENT_AUDIT_KAFKA_BROKERS: broker.at.plain }), log)) as Kafka;
  const admin = kafka.admin();
  try {
    await admin.connect();
    await fill(kafka, admin, events);
    const results: Round[] = [];
    for (let round = 0; round <= rounds; round++) {
      globalThis.gc?.();
      await sleep(1_000);
      const emptyCpu = cpuMeter({ client: process.pid, broker: broker.pid }, events);
      const empty = events / (await readEmpty(kafka, `empty-${round}`, events));
      const empty_cpu_us = emptyCpu();
      globalThis.gc?.();
      const group = `consumer-${round}`;
      const joined = Promise.withResolvers<void>();
      const done = Promise.withResolvers<void>();
      // All partitions are known to it, and nothing of them is left to commit.
      const kafkaLag = (left: ReadonlyMap<number, number>): void => void (left.size === PARTITIONS && left.values().every((messages) => messages === 0) && done.resolve());
      const consumer = new KafkaConsumer({
        // A tenant of its own, so that each round records what is new.
        kafka: notingJoin(kafka, joined.resolve), topics: [TOPIC], group, findTenant: tenantFinder(`fixed:round-${round}`), sink: recorder, log, clock: systemClock, telemetry: { ...telemetry, kafkaLag },
        limits: { eventBytes: 262_144, nesting: 64 },
      });
      const consumerCpu = cpuMeter({ service: process.pid, engine: engine.pid, broker: broker.pid }, events);
      consumer.start();
      await joined.promise;
      const begin = performance.now();
      await done.promise;
      const consumed = events / ((performance.now() - begin) / 1000);
      const consumer_cpu_us = consumerCpu();
      if ((await committed(admin, group)) !== events) throw new Error('not all was committed');
      await consumer.stop();
      // The first round warms both up.
      if (round > 0) results.push({ consumer: Math.round(consumed), empty: Math.round(empty), consumer_cpu_us, empty_cpu_us });
    }
    return {
      events, event_bytes: Buffer.byteLength(lifelikeEvent('k', 0, Date.now())), partitions: PARTITIONS,
      consumer_events_per_second: median(results.map((r) => r.consumer)),
      empty_eachbatch_events_per_second: median(results.map((r) => r.empty)),
      ratio: Number(median(results.map((r) => r.consumer / r.empty)).toFixed(2)), rounds: results,
    };
  } finally {
    await admin.disconnect();
    await recorder.stop();
    await store.close();
    await engine.stop();
    await broker.remove();
    await rm(dir, { recursive: true, force: true });
  }
}

async function fill(kafka: Kafka, admin: Admin, events: number): Promise<void> {
  await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: PARTITIONS }] });
  const producer = kafka.producer();
  await producer.connect();
  const startMs = Date.now() - events * 10;
  for (let first = 0; first < events; first += SEND) {
    const messages = Array.from({ length: Math.min(SEND, events - first) }, (_, i) => ({ value: lifelikeEvent('k', first + i, startMs), partition: (first / SEND) % PARTITIONS }));
    await producer.send({ topic: TOPIC, messages });
  }
  await producer.disconnect();
}

/** @returns seconds from having the partitions to the last message */
async function readEmpty(kafka: Kafka, groupId: string, events: number): Promise<number> {
  const consumer = kafka.consumer({ groupId });
  let begin = 0;
  let seen = 0;
  consumer.on('consumer.group_join', () => void (begin = performance.now()));
  await consumer.connect();
  await consumer.subscribe({ topics: [TOPIC], fromBeginning: true });
  const seconds = await new Promise<number>((resolve, reject) => {
    consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
    consumer
      .run({
        eachBatch: async ({ batch }) => {
          seen += batch.messages.length;
          if (seen >= events) resolve((performance.now() - begin) / 1000);
        },
      })
      .catch(reject);
  });
  await consumer.disconnect();
  return seconds;
}

function notingJoin(kafka: Kafka, joined: () => void): Kafka {
  return {
    ...kafka,
    consumer: (options) => {
      const consumer = kafka.consumer(options);
      consumer.on('consumer.group_join', joined);
      return consumer;
    },
  };
}

async function committed(admin: Admin, groupId: string): Promise<number> {
  const [topic] = await admin.fetchOffsets({ groupId, topics: [TOPIC] });
  return (topic?.partitions ?? []).reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}
