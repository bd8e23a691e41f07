import { createKafka, createLog, readConfig, type Kafka, type Producer } from '@agent-audit/shared';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { toolCall } from '../support/events.ts';
import { startKafkaBroker, type KafkaBroker } from '../support/kafka-broker.ts';
import { describeWithKafka } from '../support/kafka-shared.ts';
import { startService, type TestService } from '../support/service.ts';
import { Tenant } from '../support/tenant.ts';
import { until } from '../support/until.ts';

describeWithKafka('a broker that goes and comes back', () => {
  let broker: KafkaBroker;
  let service: TestService;
  let producer: Producer;

  beforeAll(async () => {
    broker = await startKafkaBroker();
    service = await startService({ KAFKA_BROKERS: broker.at.plain });
    const kafka = (await createKafka(readConfig({ AGENT_AUDIT_KAFKA_BROKERS: broker.at.plain }), createLog('silent', 'test'))) as Kafka;
    producer = kafka.producer();
    await producer.connect();
  });

  afterAll(async () => {
    await producer.disconnect();
    await service.stop();
    await broker.remove();
  });

  it.for(['SIGTERM', 'SIGKILL'] as const)('after %s: all that it took is recorded, once', async (signal) => {
    const tenant = new Tenant(service, 'default', service.adminKey);
    const events = Array.from({ length: 400 }, (_, i) => toolCall({ event_id: `${signal}-${i}` }));
    const produce = (from: number, to: number) => producer.send({ topic: 'agent-audit.events', messages: events.slice(from, to).map((event) => ({ value: JSON.stringify(event) })) });
    await produce(0, 200);
    await broker.stop(signal);
    await broker.start();
    await produce(200, 400);
    const shown = async (): Promise<string[]> => (await tenant.everything()).filter(({ event }) => event.event_id.startsWith(signal)).map(({ raw }) => raw);
    await until(async () => (await shown()).length, (count) => count >= events.length, 60_000);
    const raw = await shown();
    expect(raw).toHaveLength(events.length);
    expect(new Set(raw)).toEqual(new Set(events.map((event) => JSON.stringify(event))));
  });
});
