import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EVER, ndjson, NOON } from '../support/events.ts';
import { memberText } from '../support/raw-json.ts';
import { startService, type TestService } from '../support/service.ts';
import { mapTauBench, type TauBenchRun } from '../support/tau-bench.ts';
import { ids, type Tenant } from '../support/tenant.ts';

const VARIABLE = 'AGENT_AUDIT_REAL_DATA';
const folder = process.env[VARIABLE] ?? '';
const cloudTrail = join(folder, 'invictus-cloudtrail', 'records.ndjson.gz');
const tauBench = join(folder, 'tau-bench', 'gpt-4o-airline.json.gz');

function missing(file: string): string | undefined {
  if (folder === '') return `${VARIABLE} is not set`;
  return existsSync(file) ? undefined : `${VARIABLE} holds no such file`;
}

function describeWith(name: string, file: string, tests: () => void): void {
  const why = missing(file);
  describe.skipIf(why !== undefined)(why === undefined ? name : `${name} (skipped: ${why})`, tests);
}

let service: TestService;
beforeAll(async () => {
  if (missing(cloudTrail) !== undefined && missing(tauBench) !== undefined) return;
  service = await startService();
});
afterAll(() => service?.stop());

describeWith('an attack simulation recorded by CloudTrail', cloudTrail, () => {
  const BERT_JAN = 'arn:aws:iam::123837392027:user/bert-jan';
  let tenant: Tenant;
  let records: { eventID: string; eventTime: string; userIdentity: { arn?: string }; errorCode?: string }[];

  beforeAll(async () => {
    tenant = await service.newTenant();
    const file = readFileSync(cloudTrail);
    records = gunzipSync(file).toString('utf8').trim().split('\n').map((line) => JSON.parse(line) as (typeof records)[0]);
    const answer = await tenant.post(file, { path: '/v1/import/cloudtrail', type: 'application/x-ndjson', encoding: 'gzip' });
    expect({ status: answer.status, ...answer.json() }).toEqual({ status: 202, accepted: 2_900, duplicates: 0, rejected: [] });
  });

  test('2,641 of 2,900 records are in the timeline of bert-jan, in order, over pages of 100 and of 1,000 alike', async () => {
    const path = `/v1/agents/${BERT_JAN}/timeline?from=2023-07-10T11:42:18Z&to=2023-07-10T12:37:51Z`;
    const own = records.filter(({ userIdentity }) => userIdentity.arn === BERT_JAN);
    expect(own).toHaveLength(2_641);
    const [small, large] = [await tenant.all(path, 100), await tenant.all(path, 1000)];
    expect(small).toHaveLength(2_641);
    expect(ids(small)).toEqual(ids(large));
    expect(ids(small).toSorted()).toEqual(own.map(({ eventID }) => eventID).toSorted());
    const order = small.map(({ event }) => `${event.time} ${event.event_id}`);
    expect(order).toEqual(order.toSorted());
    expect(ids(await tenant.all(`${path}&order=desc`))).toEqual(ids(small).toReversed());
    expect(await tenant.completeness(path)).toMatchObject({ status: 'unknown' });
  });

  test('all 2,900 are there, and the answers to questions about them are right', async () => {
    const all = await tenant.everything();
    expect(ids(all).toSorted()).toEqual(records.map(({ eventID }) => eventID).toSorted());
    const failed = records.filter(({ errorCode }) => errorCode !== undefined).length;
    const notSuccessful = (await tenant.all(`/v1/events?${EVER}&-outcome=success`)).length;
    expect(notSuccessful).toBeGreaterThanOrEqual(failed);
    expect(await tenant.all(`/v1/events?${EVER}&agent_id=${encodeURIComponent(BERT_JAN)}&agent_id=${encodeURIComponent('arn:aws:iam::123837392027:user/benjamin')}`)).toHaveLength(2_641 + 105);
    const agents = await tenant.agents();
    expect(agents.find(({ agent_id: id }) => id === BERT_JAN)).toMatchObject({ events: 2_641 });
    expect(agents.reduce((sum, { events }) => sum + events, 0)).toBe(2_900);
  });

  test('a second import adds none', async () => {
    const answer = await tenant.post(readFileSync(cloudTrail), { path: '/v1/import/cloudtrail', type: 'application/gzip' });
    expect({ status: answer.status, ...answer.json() }).toEqual({ status: 202, accepted: 0, duplicates: 2_900, rejected: [] });
    expect(await tenant.everything()).toHaveLength(2_900);
  });
});

describeWith('an agent that calls tools, recorded by tau-bench', tauBench, () => {
  test('1,164 tool calls come back argument for argument, byte for byte', async () => {
    const tenant = await service.newTenant();
    const calls = mapTauBench(JSON.parse(gunzipSync(readFileSync(tauBench)).toString('utf8')) as TauBenchRun[], NOON);
    expect(calls).toHaveLength(1_164);
    const answer = await tenant.post(ndjson(calls.map(({ raw }) => raw)), { type: 'application/x-ndjson' });
    expect(answer.json()).toEqual({ accepted: 1_164, duplicates: 0, rejected: [] });
    const shown = await tenant.everything();
    expect(shown.map(({ raw }) => raw)).toEqual(calls.map(({ raw }) => raw));
    expect(shown.map(({ raw }) => memberText(memberText(raw, 'tool') as string, 'arguments'))).toEqual(calls.map((call) => call.arguments));
    expect(shown.map(({ event }) => event.tool?.result)).toEqual(calls.map(({ result }) => result));
    const agent = calls[0]?.agentId as string;
    expect((await tenant.all(`/v1/agents/${agent}/timeline?${EVER}`, 7)).map(({ raw }) => raw)).toEqual(calls.filter(({ agentId }) => agentId === agent).map(({ raw }) => raw));
    expect((await tenant.completeness(`/v1/events?${EVER}`)).status).toBe('complete');
    expect((await tenant.post(ndjson(calls.map(({ raw }) => raw)), { type: 'application/x-ndjson' })).json()).toEqual({ accepted: 0, duplicates: 1_164, rejected: [] });
  });
});
