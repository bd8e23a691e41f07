import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EVER, ndjson, toolCall } from '../support/events.ts';
import { ServiceFolder, type ServiceProcess } from '../support/service.ts';
import { startTestEngine } from '../support/store.ts';
import { Tenant } from '../support/tenant.ts';
import { until } from '../support/until.ts';

/** Two services, each with a data folder of its own, over one ClickHouse. */
let engine: Awaited<ReturnType<typeof startTestEngine>>;
let folders: ServiceFolder[];
let services: ServiceProcess[];
beforeAll(async () => {
  engine = await startTestEngine();
  const settings = { CLICKHOUSE_URL: engine.options.url, CLICKHOUSE_USER: engine.options.username as string, CLICKHOUSE_PASSWORD: engine.options.password as string };
  folders = [await ServiceFolder.make(), await ServiceFolder.make()];
  services = [];
  for (const folder of folders) services.push(await folder.start({ settings }));
});
afterAll(async () => {
  for (const folder of folders) await folder.remove();
  await engine[Symbol.asyncDispose]();
});

/** The same tenant, spoken to through each of the services. */
async function tenants(name: string): Promise<[Tenant, Tenant]> {
  const key = await (services[0] as ServiceProcess).newKey({ tenant: name });
  const [one, other] = services.map((service) => new Tenant(service, name, key));
  await until(async () => (await (other as Tenant).get('/v1/agents')).status, (status) => status === 200);
  return [one as Tenant, other as Tenant];
}

describe('an event that is sent to two collectors', () => {
  it('one after the other is a duplicate for the second', async () => {
    const [one, other] = await tenants('in-turn');
    const events = [toolCall(), toolCall()];
    await one.record(events);
    // A second later at most, the other has heard of it; what it took in before that is found to be a copy.
    await until(async () => (await other.post(ndjson(events), { type: 'application/x-ndjson' })).json() as { duplicates: number }, ({ duplicates }) => duplicates === 2);
    for (const tenant of [one, other]) {
      expect((await tenant.everything()).map(({ event }) => event.event_id).toSorted()).toEqual(events.map(({ event_id: id }) => id).toSorted());
      await until(() => tenant.completeness(`/v1/events?${EVER}`), ({ unnumbered, conflicts }) => unnumbered === 2 && conflicts === 0);
    }
  });

  it('at the same moment shows once in every list and every count', async () => {
    const [one, other] = await tenants('at-once');
    const batches = Array.from({ length: 20 }, () => [toolCall(), toolCall(), toolCall()]);
    await Promise.all(batches.flatMap((batch) => [one, other].map((tenant) => tenant.post(ndjson(batch), { type: 'application/x-ndjson' }))));
    for (const tenant of [one, other]) {
      await until(async () => (await tenant.completeness(`/v1/events?${EVER}`)).unnumbered, (unnumbered) => unnumbered === 60);
      expect(await tenant.everything()).toHaveLength(60);
      expect((await tenant.agents()).reduce((sum, { events }) => sum + events, 0)).toBe(60);
    }
  });

  it('with other bytes each is kept twice, and is one conflict', async () => {
    const [one, other] = await tenants('in-conflict');
    const event = toolCall();
    const different = { ...event, attributes: { other: true } };
    await Promise.all([one.post(JSON.stringify(event)), other.post(JSON.stringify(different))]);
    await until(async () => (await one.completeness(`/v1/events?${EVER}`)).conflicts, (conflicts) => conflicts === 1);
    const shown = await other.everything();
    expect(shown).toHaveLength(2);
    expect(shown.flatMap(({ recorded }) => recorded.flags).filter((flag) => flag === 'conflict')).toEqual(['conflict']);
    const found = (await one.get(`/v1/events/${event.event_id}`)).json() as { conflicts: unknown[] };
    expect(found.conflicts).toHaveLength(1);
  });
});
