import { createKafka, createLog, readConfig, type Kafka } from '@agent-audit/shared';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { toolCall } from '../support/events.ts';
import { describeWithKafka, newTopic } from '../support/kafka-shared.ts';
import { lines, startService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';

describeWithKafka('a service that keeps events in Kafka until they are recorded', (address) => {
  const topic = newTopic();
  let service: TestService;

  beforeAll(async () => {
    service = await startService({ BUFFER: 'kafka', KAFKA_BROKERS: address.at.plain, KAFKA_TOPIC: topic, KAFKA_GROUP: topic, MAX_EVENT_BYTES: '4000000' });
  });

  afterAll(() => service.stop());

  it('shows each tenant what it sent', async () => {
    const [acme, globex] = [await service.newTenant(), await service.newTenant()];
    const [mine, theirs] = [Array.from({ length: 30 }, () => toolCall()), [toolCall()]];
    await acme.record(mine);
    await globex.record(theirs);
    expect((await acme.everything()).map(({ raw }) => raw).toSorted()).toEqual(mine.map((event) => JSON.stringify(event)).toSorted());
    expect((await globex.everything()).map(({ raw }) => raw)).toEqual(theirs.map((event) => JSON.stringify(event)));
  });

  it('counts repeats as accepted, and shows them once', async () => {
    const tenant = await service.newTenant();
    const event = toolCall();
    const last = toolCall();
    await tenant.record([event]);
    expect((await tenant.post(JSON.stringify(event))).json()).toEqual({ accepted: 1, duplicates: 0, rejected: [] });
    await tenant.record([last]);
    expect(await tenant.everything()).toHaveLength(2);
  });

  it('puts refused events into quarantine with where they came from', async () => {
    const tenant = await service.newTenant();
    const answer = await tenant.post(...lines([toolCall(), '{"event_id":"no-kind"}']));
    expect(answer.status).toBe(202);
    const entries = await until(async () => (await tenant.get('/v1/quarantine?from=-1h')).json().entries as { origin: string; event_id: string; errors: unknown[] }[], (found) => found.length > 0);
    expect(entries).toMatchObject([{ event_id: 'no-kind', errors: (answer.json() as { rejected: [{ errors: unknown[] }] }).rejected[0].errors }]);
    expect(entries[0]?.origin).toMatch(/^http:/);
  });

  it('writes all copies of an event_id to one partition', async () => {
    const tenant = await service.newTenant();
    const kafka = (await createKafka(readConfig({ AGENT_AUDIT_KAFKA_BROKERS: address.at.plain }), createLog('silent', 'test'))) as Kafka;
    const admin = kafka.admin();
    await admin.connect();
    const used = async (): Promise<string[]> => (await admin.fetchTopicOffsets(topic)).toSorted((a, b) => a.partition - b.partition).map(({ high }) => high);
    const before = await used();
    const event = toolCall();
    for (let copy = 0; copy < 4; copy++) await tenant.post(JSON.stringify(event));
    const after = await used();
    await admin.disconnect();
    expect(after.filter((high, i) => high !== before[i])).toHaveLength(1);
  });

  it('refuses a request with an event that the topic does not take', async () => {
    const noise = Array.from({ length: 3_000_000 }, () => Math.random().toString(36)[2]).join('');
    const answer = await service.post(JSON.stringify(toolCall({ attributes: { noise } })));
    expect({ status: answer.status, code: (answer.json() as { code: string }).code }).toEqual({ status: 413, code: 'body_too_large' });
  });
});

describeWithKafka('a service whose buffer does not answer', () => {
  it('acknowledges nothing', async () => {
    const service = await startService({ BUFFER: 'kafka', KAFKA_BROKERS: '127.0.0.1:1' });
    try {
      const answer = await service.post(JSON.stringify(toolCall()));
      expect({ status: answer.status, retry: answer.headers['retry-after'] }).toEqual({ status: 503, retry: '2' });
    } finally {
      await service.stop();
    }
  });
});
