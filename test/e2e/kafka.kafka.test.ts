import { join } from 'node:path';
import { createKafka, createLog, readConfig, type Kafka, type Producer } from '@agent-audit/shared';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { toolCall } from '../support/events.ts';
import { SASL_PASSWORDS, SASL_USER } from '../support/kafka-properties.ts';
import { describeWithKafka, newTopic } from '../support/kafka-shared.ts';
import { startService, type TestService } from '../support/service.ts';
import { Tenant } from '../support/tenant.ts';
import { until } from '../support/until.ts';

describeWithKafka('a service that reads from Kafka', (address) => {
  const topic = newTopic();
  let service: TestService;
  let tenant: Tenant;
  let producer: Producer;

  beforeAll(async () => {
    service = await startService({
      KAFKA_BROKERS: address.at.sasltls, KAFKA_TOPIC: topic, KAFKA_GROUP: topic, KAFKA_TENANT: 'header:x-tenant',
      KAFKA_TLS: 'true', KAFKA_TLS_CA_FILE: join(address.dir, 'server.crt'),
      KAFKA_SASL_MECHANISM: 'scram-sha-512', KAFKA_USERNAME: SASL_USER, KAFKA_PASSWORD: SASL_PASSWORDS['scram-sha-512'],
    });
    tenant = await service.newTenant();
    const kafka = (await createKafka(readConfig({ AGENT_AUDIT_KAFKA_BROKERS: address.at.plain }), createLog('silent', 'test'))) as Kafka;
    producer = kafka.producer();
    await producer.connect();
  });

  afterAll(async () => {
    await producer.disconnect();
    await service.stop();
  });

  const produce = (...values: string[]) => producer.send({ topic, messages: values.map((value) => ({ value, headers: { 'x-tenant': tenant.name } })) });

  it('shows what came over Kafka and over HTTP, and what came both ways once', async () => {
    const [both, kafkaOnly, kafkaFirst] = [toolCall(), toolCall(), toolCall()];
    await tenant.record([both]);
    await produce(JSON.stringify(both), JSON.stringify(kafkaOnly), JSON.stringify(kafkaFirst));
    await tenant.visible([both, kafkaOnly, kafkaFirst]);
    const again = await tenant.post(JSON.stringify(kafkaFirst));
    expect(again.json()).toEqual({ accepted: 0, duplicates: 1, rejected: [] });
    const shown = await tenant.everything();
    expect(shown.map(({ raw }) => raw).toSorted()).toEqual([both, kafkaOnly, kafkaFirst].map((event) => JSON.stringify(event)).toSorted());
  });

  it('flags what came with the same id and other bytes', async () => {
    const event = toolCall();
    await tenant.record([event]);
    await produce(JSON.stringify({ ...event, action: 'delete' }));
    const shown = await until(async () => (await tenant.everything()).filter((found) => found.event.event_id === event.event_id), (found) => found.length === 2);
    expect(shown.filter(({ recorded }) => recorded.flags.includes('conflict'))).toHaveLength(1);
  });

  it('shows what was no event in quarantine, with its place', async () => {
    await produce('{"event_id":"broken"');
    const entries = await until(async () => (await tenant.get('/v1/quarantine?from=-1h')).json().entries as { origin: string; raw: string }[], (found) => found.length > 0);
    expect(entries).toHaveLength(1);
    expect(entries[0]?.origin).toMatch(new RegExp(`^kafka:${topic}/\\d+/\\d+$`));
  });

  it('counts what it does in /metrics', async () => {
    const { text } = await until(() => service.get('/metrics'), (answer) => /agent_audit_kafka_quarantined_total [1-9]/.test(answer.text));
    expect(text).toMatch(/agent_audit_kafka_commits_total [1-9]/);
    expect(text).toMatch(/agent_audit_kafka_rebalances_total [1-9]/);
    expect(text).toMatch(/agent_audit_kafka_lag\{partition="\d+"\} \d+/);
  });
});

describeWithKafka('a service whose brokers do not answer', () => {
  it('takes events over HTTP all the same, and stops in order', async () => {
    const service = await startService({ KAFKA_BROKERS: '127.0.0.1:1' });
    try {
      await new Tenant(service, 'default', service.adminKey).record([toolCall()]);
    } finally {
      await service.stop();
    }
  });
});
