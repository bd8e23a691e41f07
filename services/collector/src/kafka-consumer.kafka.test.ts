import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventTape, type AuditEvent } from '@agent-audit/schemas';
import { createKafka, createLog, createTelemetry, readConfig, systemClock, type Admin, type Kafka, type Producer } from '@agent-audit/shared';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { toolCall } from '../../../test/support/events.ts';
import { javaProduce } from '../../../test/support/kafka-java.ts';
import { describeWithKafka, newTopic } from '../../../test/support/kafka-shared.ts';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import { until } from '../../../test/support/until.ts';
import type { EventSink } from './event-sink.ts';
import { KafkaConsumer } from './kafka-consumer.ts';
import { tenantFinder } from './kafka-tenant.ts';
import { NotRecorded } from './not-recorded.ts';
import { Recorder } from './recorder.ts';

const log = createLog('silent', 'test');
const text = (events: readonly AuditEvent[]): string[] => events.map((event) => JSON.stringify(event));
const many = (count: number, prefix: string): AuditEvent[] => Array.from({ length: count }, (_, i) => toolCall({ event_id: `${prefix}-${i}` }));

describeWithKafka('the consumer', (address) => {
  let test: TestStore;
  let folder: string;
  let recorder: Recorder;
  let sink: EventSink;
  let kafka: Kafka;
  let admin: Admin;
  let producer: Producer;
  const telemetry = createTelemetry();
  const consumers: KafkaConsumer[] = [];

  beforeAll(async () => {
    test = await startTestStore();
    folder = await mkdtemp(join(tmpdir(), 'agent-audit-segments-'));
    recorder = new Recorder({ store: test.store, collectorId: 'c1', folder, maxBytes: 1024 ** 3, reserveBytes: 0, log, clock: systemClock, telemetry });
    await recorder.start();
    sink = recorder;
    kafka = (await createKafka(readConfig({ AGENT_AUDIT_KAFKA_BROKERS: address.at.plain }), log)) as Kafka;
    admin = kafka.admin();
    producer = kafka.producer();
    await admin.connect();
    await producer.connect();
  });

  afterEach(async () => {
    await Promise.all(consumers.splice(0).map((consumer) => consumer.stop()));
  });

  afterAll(async () => {
    await producer.disconnect();
    await admin.disconnect();
    await recorder.stop();
    await test[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** A tenant and a topic that no other test uses. */
  const fresh = async (partitions = 1): Promise<{ tenant: string; topic: string }> => {
    const topic = newTopic();
    await admin.createTopics({ topics: [{ topic, numPartitions: partitions }] });
    return { tenant: `t-${randomUUID()}`, topic };
  };

  const consume = (topics: string[], tenant: string, into = sink): KafkaConsumer => {
    const limits = { eventBytes: 4096, nesting: 16 };
    const consumer = new KafkaConsumer({ kafka, topics, group: `g-${topics.join()}`, findTenant: tenantFinder(tenant), limits, sink: into, log, clock: systemClock, telemetry });
    consumer.start();
    consumers.push(consumer);
    return consumer;
  };

  /** Resolves when all that was taken in before is in ClickHouse: segments are stored in order. */
  const settled = async (): Promise<void> => {
    const tape = new EventTape();
    tape.take(Buffer.from(JSON.stringify(toolCall({ event_id: randomUUID() }))));
    await recorder.record({ tenant: 'marker', tape, refused: [], waitMs: 20_000 });
  };

  const recorded = async (tenant: string): Promise<string[]> => {
    await settled();
    return (await test.store.select('SELECT raw FROM events WHERE tenant = {tenant: String} ORDER BY log_index', { tenant }, z.object({ raw: z.string() }))).map(({ raw }) => raw);
  };

  const quarantined = (tenant: string): Promise<{ origin: string; event_id: string; raw: string; errors: string }[]> =>
    test.store.select('SELECT origin, event_id, raw, errors FROM quarantine WHERE tenant = {tenant: String} ORDER BY origin', { tenant }, z.object({ origin: z.string(), event_id: z.string(), raw: z.string(), errors: z.string() }));

  const committed = async (topic: string): Promise<number[]> => {
    const [offsets] = await admin.fetchOffsets({ groupId: `g-${topic}`, topics: [topic] });
    return (offsets?.partitions ?? []).toSorted((a, b) => a.partition - b.partition).map(({ offset }) => Number(offset));
  };

  it.for(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)('records what a Java producer sends packed with %s, and commits it', async (codec) => {
    const { tenant, topic } = await fresh();
    const events = text(many(300, codec));
    await javaProduce(address, topic, events.map((value) => ({ value })), codec);
    consume([topic], `fixed:${tenant}`);
    await until(() => committed(topic), ([offset]) => offset === 300);
    expect(await recorded(tenant)).toEqual(events);
  });

  it('takes CloudEvents in structured and in binary mode as the events that they carry', async () => {
    const { tenant, topic } = await fresh();
    const [plain, structured, binary] = text(many(3, 'ce')) as [string, string, string];
    await javaProduce(address, topic, [
      { value: plain, headers: { 'content-type': 'application/json' } },
      { value: `{"specversion":"1.0","id":"1","source":"/gateway","type":"audit","data":${structured}}`, headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' } },
      { value: binary, headers: { 'content-type': 'application/json', ce_specversion: '1.0', ce_id: '2', ce_source: '/gateway', ce_type: 'audit' } },
    ]);
    consume([topic], `fixed:${tenant}`);
    await until(() => committed(topic), ([offset]) => offset === 3);
    expect(await recorded(tenant)).toEqual([plain, structured, binary]);
  });

  it('tells tenants by header', async () => {
    const { tenant, topic } = await fresh();
    const [mine, other, nobodys] = text(many(3, `by-header-${tenant}`)) as [string, string, string];
    await producer.send({ topic, messages: [{ value: mine, headers: { 'x-tenant': tenant } }, { value: other, headers: { 'x-tenant': `${tenant}-2` } }, { value: nobodys }] });
    consume([topic], 'header:x-tenant');
    await until(() => committed(topic), ([offset]) => offset === 3);
    expect(await recorded(tenant)).toEqual([mine]);
    expect(await recorded(`${tenant}-2`)).toEqual([other]);
    expect((await quarantined('default')).filter(({ raw }) => raw === nobodys)).toMatchObject([{ origin: `kafka:${topic}/0/2` }]);
  });

  it('tells tenants by topic', async () => {
    const { topic } = await fresh();
    const topics = [`${topic}.acme`, `${topic}.globex`];
    await admin.createTopics({ topics: topics.map((name) => ({ topic: name, numPartitions: 1 })) });
    const [acme, globex] = text(many(2, topic)) as [string, string];
    await producer.send({ topic: topics[0] as string, messages: [{ value: acme }] });
    await producer.send({ topic: topics[1] as string, messages: [{ value: globex }] });
    consume(topics, `topic:${topic}.{tenant}`);
    await until(async () => [await recorded('acme'), await recorded('globex')], ([a, b]) => a?.length === 1 && b?.length === 1);
    expect([await recorded('acme'), await recorded('globex')]).toEqual([[acme], [globex]]);
  });

  it('puts what is no event into quarantine with its place, and moves on', async () => {
    const { tenant, topic } = await fresh();
    const good = text(many(2, 'good'));
    const tooBig = JSON.stringify(toolCall({ event_id: 'big', attributes: { much: 'x'.repeat(5000) } }));
    await javaProduce(address, topic, [
      { value: 'not json' }, { value: good[0] as string }, { value: null }, { value: '{"event_id":"no-kind"}' }, { value: tooBig }, { value: good[1] as string },
      { value: '{}', headers: { 'content-type': 'application/cloudevents+json' } },
    ], 'gzip');
    consume([topic], `fixed:${tenant}`);
    await until(() => committed(topic), ([offset]) => offset === 7);
    expect(await recorded(tenant)).toEqual(good);
    const kept = await quarantined(tenant);
    expect(kept.map(({ origin, event_id: id, raw }) => ({ origin, id, raw }))).toEqual([
      { origin: `kafka:${topic}/0/0`, id: '', raw: 'not json' },
      { origin: `kafka:${topic}/0/2`, id: '', raw: '' },
      { origin: `kafka:${topic}/0/3`, id: 'no-kind', raw: '{"event_id":"no-kind"}' },
      { origin: `kafka:${topic}/0/4`, id: '', raw: tooBig },
      { origin: `kafka:${topic}/0/6`, id: '', raw: '{}' },
    ]);
    for (const { errors } of kept) expect(JSON.parse(errors)).not.toEqual([]);
  });

  it('commits nothing while nothing is recorded, and records it once when it can be', async () => {
    const { tenant, topic } = await fresh();
    const events = text(many(50, 'later'));
    await producer.send({ topic, messages: events.map((value) => ({ value })) });
    let refusals = 0;
    let refusing = true;
    consume([topic], `fixed:${tenant}`, {
      room: () => undefined,
      record: async (recording) => {
        if (!refusing) return sink.record(recording);
        refusals++;
        throw new NotRecorded('away');
      },
    });
    await until(() => refusals, (n) => n >= 3);
    expect(await committed(topic)).toEqual([-1]);
    refusing = false;
    await until(() => committed(topic), ([offset]) => offset === 50);
    expect(await recorded(tenant)).toEqual(events);
  });

  it('reads again what was not committed when it ended, and records it once', async () => {
    const { tenant, topic } = await fresh();
    const events = text(many(20, 'again'));
    await producer.send({ topic, messages: events.map((value) => ({ value })) });
    let stored = false;
    // Recorded, but never told so: as when the process dies in between.
    const first = consume([topic], `fixed:${tenant}`, {
      room: () => undefined,
      record: async (recording) => {
        await sink.record(recording);
        stored = true;
        throw new NotRecorded('unknown');
      },
    });
    await until(() => stored, Boolean);
    await first.stop();
    expect(await committed(topic)).toEqual([-1]);
    consume([topic], `fixed:${tenant}`);
    await until(() => committed(topic), ([offset]) => offset === 20);
    expect(await recorded(tenant)).toEqual(events);
  });

  it('loses nothing and doubles nothing while consumers come and go', async () => {
    const { tenant, topic } = await fresh(6);
    const sent: string[] = [];
    const produce = async (round: number): Promise<void> => {
      const events = text(many(200, `round-${round}`));
      sent.push(...events);
      await producer.send({ topic, messages: events.map((value, i) => ({ value, partition: i % 6 })) });
    };
    let rounds = 0;
    const first = consume([topic], `fixed:${tenant}`);
    const goOn = async (count: number): Promise<void> => {
      for (const end = rounds + count; rounds < end; rounds++) await produce(rounds);
    };
    await goOn(5);
    await until(() => recorded(tenant), (events) => events.length > 0);
    const second = consume([topic], `fixed:${tenant}`);
    const shared = async (): Promise<number> => (await admin.describeGroups([`g-${topic}`])).groups[0]?.members.filter((member) => member.memberAssignment.length > 0).length ?? 0;
    await goOn(5);
    await until(shared, (members) => members === 2, 30_000);
    await goOn(5);
    await first.stop();
    await goOn(5);
    await until(() => committed(topic), (offsets) => offsets.reduce((sum, offset) => sum + offset, 0) === sent.length, 30_000);
    expect((await recorded(tenant)).toSorted()).toEqual(sent.toSorted());
    await second.stop();
  });

  it('shows in metrics how far behind it is', async () => {
    const { tenant, topic } = await fresh();
    await producer.send({ topic, messages: text(many(5, 'lag')).map((value) => ({ value })) });
    const held = Promise.withResolvers<void>();
    consume([topic], `fixed:${tenant}`, { room: () => undefined, record: (recording) => held.promise.then(() => sink.record(recording)) });
    const lag = async (): Promise<string | undefined> => /^agent_audit_kafka_lag\{partition="0"\} (\d+)$/m.exec((await telemetry.expose()).text)?.[1];
    await until(lag, (messages) => messages === '5');
    held.resolve();
    await until(lag, (messages) => messages === '0');
  });

  it('stops at once where no broker answers', async () => {
    const nowhere = (await createKafka(readConfig({ AGENT_AUDIT_KAFKA_BROKERS: '127.0.0.1:1' }), log)) as Kafka;
    const restarts = async (): Promise<number> => Number(/^agent_audit_kafka_consumer_restarts_total (\d+)$/m.exec((await telemetry.expose()).text)?.[1]);
    const before = await restarts();
    const consumer = new KafkaConsumer({ kafka: nowhere, topics: ['t'], group: 'g', findTenant: tenantFinder('fixed:t'), limits: { eventBytes: 1, nesting: 1 }, sink, log, clock: systemClock, telemetry });
    consumer.start();
    await until(restarts, (n) => n > before, 30_000);
    const begin = performance.now();
    await consumer.stop();
    expect(performance.now() - begin).toBeLessThan(6_000);
  });
});
