import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { brokerFile, type KafkaAddress } from '../../../test/support/kafka-broker.ts';
import { javaConsume, javaProduce } from '../../../test/support/kafka-java.ts';
import { SASL_PASSWORDS, SASL_USER } from '../../../test/support/kafka-properties.ts';
import { describeWithKafka, newTopic } from '../../../test/support/kafka-shared.ts';
import { readConfig } from './config.ts';
import { CompressionTypes, createKafka, type Kafka } from './kafka.ts';
import { createLog } from './log.ts';

const log = createLog('silent', 'test');
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function connectTo(brokers: string, settings: Record<string, string> = {}): Promise<Kafka> {
  const env = Object.fromEntries(Object.entries({ BROKERS: brokers, ...settings }).map(([name, value]) => [`AGENT_AUDIT_KAFKA_${name}`, value]));
  return (await createKafka(readConfig(env), log)) as Kafka;
}

/** Reads a topic from its beginning until it has seen `count` values. */
async function read(kafka: Kafka, topic: string, count: number): Promise<string[]> {
  const consumer = kafka.consumer({ groupId: `group-of-${topic}`, maxWaitTimeInMs: 500 });
  closing.push(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const values: string[] = [];
  await new Promise<void>((resolve, reject) => {
    consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
    consumer
      .run({
        eachMessage: async ({ message }) => {
          values.push(String(message.value));
          if (values.length === count) resolve();
        },
      })
      .catch(reject);
  });
  return values;
}

/** What packs well, and what does not fit into one block of any codec. */
const VALUES = Array.from({ length: 60 }, (_, i) => `${i} ${'žluťoučký kůň '.repeat(i * 12)}${i % 7 === 0 ? Math.random() : ''}`);

describeWithKafka('compression', (kafka) => {
  it.for(['gzip', 'snappy', 'lz4', 'zstd'] as const)('reads what a Java producer has packed with %s', async (codec) => {
    const topic = newTopic();
    await javaProduce(kafka, topic, VALUES.map((value) => ({ value })), codec);
    const values = await read(await connectTo(kafka.at.plain), topic, VALUES.length);
    expect(values.toSorted()).toEqual(VALUES.toSorted());
  });

  it('packs what a Java consumer reads', async () => {
    const topic = newTopic();
    const producer = (await connectTo(kafka.at.plain)).producer();
    closing.push(() => producer.disconnect());
    await producer.connect();
    const sent: string[] = [];
    for (const name of ['GZIP', 'Snappy', 'LZ4', 'ZSTD'] as const) {
      const values = VALUES.map((value) => `${name} ${value}`);
      await producer.send({ topic, compression: CompressionTypes[name], messages: values.map((value) => ({ value })) });
      sent.push(...values);
    }
    expect((await javaConsume(kafka, topic, sent.length)).toSorted()).toEqual(sent.toSorted());
  });
});

describeWithKafka('who may come in', (kafka) => {
  const brokersOf = async (brokers: string, settings: Record<string, string>): Promise<number> => {
    const admin = (await connectTo(brokers, settings)).admin();
    closing.push(() => admin.disconnect());
    await admin.connect();
    return (await admin.describeCluster()).brokers.length;
  };
  const sasl = (mechanism: keyof typeof SASL_PASSWORDS, password = SASL_PASSWORDS[mechanism]): Record<string, string> =>
    ({ SASL_MECHANISM: mechanism, USERNAME: SASL_USER, PASSWORD: password as string });
  const tls = ({ dir }: KafkaAddress): Record<string, string> => ({ TLS: 'true', TLS_CA_FILE: join(dir, 'server.crt') });

  it.for(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('says who it is by %s', async (mechanism) => {
    expect(await brokersOf(kafka.at.sasl, sasl(mechanism))).toBe(1);
  });

  it('says who it is over TLS', async () => {
    expect(await brokersOf(kafka.at.sasltls, { ...tls(kafka), ...sasl('scram-sha-512') })).toBe(1);
  });

  it('is refused with another password', async () => {
    await expect(brokersOf(kafka.at.sasl, { ...sasl('scram-sha-256'), PASSWORD: 'another' })).rejects.toThrow(/[Aa]uthentication/);
  });

  it('speaks TLS to a broker that its authority vouches for', async () => {
    expect(await brokersOf(kafka.at.tls, tls(kafka))).toBe(1);
  });

  it('does not speak to a broker that nobody vouches for', async () => {
    await expect(brokersOf(kafka.at.tls, { TLS: 'true' })).rejects.toThrow(/self-signed/);
  });

  it('shows a certificate where it is asked for one', async () => {
    expect(await brokersOf(kafka.at.mtls, { ...tls(kafka), TLS_CERT_FILE: join(kafka.dir, 'client.crt'), TLS_KEY_FILE: join(kafka.dir, 'client.key') })).toBe(1);
    expect(await brokerFile(kafka, 'client.crt')).toContain('BEGIN CERTIFICATE');
  });
});

describeWithKafka('an idle connection', (kafka) => {
  // kafkajs 2.2.4 on Node 24 and later: a TimeoutNegativeWarning, and a timer of 1 ms that is set again for ever.
  it('sets no timer after timer, and warns of nothing', async () => {
    const warnings: Error[] = [];
    const noteWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', noteWarning);
    const topic = newTopic();
    await javaProduce(kafka, topic, [{ value: 'the only one' }]);
    await read(await connectTo(kafka.at.plain), topic, 1);
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const cpu = process.cpuUsage();
    await sleep(2_000);
    const { user, system } = process.cpuUsage(cpu);
    const set = timers.mock.calls.length;
    timers.mockRestore();
    process.off('warning', noteWarning);
    expect(warnings).toEqual([]);
    expect(set).toBeLessThan(20);
    // Microseconds; the timers alone took several times as much.
    expect(user + system).toBeLessThan(200_000);
  });
});
