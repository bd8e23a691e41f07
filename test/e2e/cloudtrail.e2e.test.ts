import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { AuditEvent } from '@agent-audit/schemas';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EVER } from '../support/events.ts';
import type { Answer } from '../support/http.ts';
import { startService, type PostOptions, type TestService } from '../support/service.ts';
import type { Tenant } from '../support/tenant.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const ndjson = readFileSync(new URL('../../schemas/fixtures/cloudtrail/records.ndjson', import.meta.url), 'utf8');
const records = ndjson.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
const file = JSON.stringify({ Records: records });

const load = (tenant: Tenant, body: string | Uint8Array, options: PostOptions = {}): Promise<Answer> => tenant.post(body, { path: '/v1/import/cloudtrail', ...options });

const forms: Readonly<Record<string, readonly [body: string | Uint8Array, options?: PostOptions]>> = {
  'a log file': [file],
  'a log file, indented': [JSON.stringify({ Records: records }, undefined, 2)],
  'a log file as CloudTrail delivers it, .json.gz': [gzipSync(file), { type: 'application/gzip' }],
  'the same without a media type of its own': [gzipSync(file), { type: 'application/octet-stream' }],
  'a log file with Content-Encoding gzip': [gzipSync(file), { encoding: 'gzip' }],
  'an array': [JSON.stringify(records)],
  'lines': [ndjson, { type: 'application/x-ndjson' }],
  'lines, compressed': [gzipSync(ndjson), { type: 'application/x-ndjson', encoding: 'gzip' }],
};

test.each(Object.entries(forms))('%s: all records, and none again the second time', async (_, [body, options]) => {
  const tenant = await service.newTenant();
  const answer = await load(tenant, body, options);
  expect({ status: answer.status, ...answer.json() }).toEqual({ status: 202, accepted: records.length, duplicates: 0, rejected: [] });
  const shown = await tenant.everything();
  expect(shown.map(({ event }) => event.event_id).toSorted()).toEqual(records.map((record) => record['eventID']).toSorted());
  const again = await load(tenant, body, options);
  expect({ status: again.status, ...again.json() }).toEqual({ status: 202, accepted: 0, duplicates: records.length, rejected: [] });
  expect(await tenant.everything()).toHaveLength(records.length);
});

test('in another form the same records are the same events', async () => {
  const tenant = await service.newTenant();
  await load(tenant, ndjson, { type: 'application/x-ndjson' });
  for (const [body, options] of Object.values(forms)) expect((await load(tenant, body, options)).json()).toEqual({ accepted: 0, duplicates: records.length, rejected: [] });
});

test('numbers keep their digits, also those that JavaScript cannot hold', async () => {
  const tenant = await service.newTenant();
  const [first] = records;
  const record = JSON.stringify({ ...first, requestParameters: { id: 'ID', ratio: 'RATIO', size: 7 } }).replace('"ID"', '9223372036854775807').replace('"RATIO"', '0.12345678901234567890');
  expect((await load(tenant, record)).json()).toMatchObject({ accepted: 1 });
  const { text } = await tenant.get(`/v1/events/${first?.['eventID'] as string}`);
  expect(text).toContain('"arguments":{"id":9223372036854775807,"ratio":0.12345678901234567890,"size":7}');
});

test('each event holds its whole record, and the timeline of a principal is in order', async () => {
  const tenant = await service.newTenant();
  await load(tenant, file);
  const byId = new Map(records.map((record) => [record['eventID'], record]));
  for (const { event } of await tenant.everything()) {
    const record = byId.get(event.event_id) as Record<string, unknown>;
    const attributes = event.attributes as { cloudtrail: Record<string, unknown> };
    expect({ ...attributes.cloudtrail, requestParameters: event.tool?.arguments, responseElements: event.tool?.result }).toEqual(record);
    expect(event).toMatchObject({ kind: 'data_access', tool: { name: record['eventName'], server: record['eventSource'] } });
    expect(Date.parse(event.time)).toBe(Date.parse(record['eventTime'] as string));
  }
  const arn = ((records[0] as Record<string, unknown>)['userIdentity'] as { arn: string }).arn;
  const timeline = await tenant.all(`/v1/agents/${arn}/timeline?${EVER}`);
  const want = records.filter((record) => (record['userIdentity'] as { arn?: string }).arn === arn);
  expect(timeline).toHaveLength(want.length);
  const times = timeline.map(({ event }: { event: AuditEvent }) => event.time);
  expect(times).toEqual(times.toSorted());
  expect(await tenant.completeness(`/v1/agents/${arn}/timeline?${EVER}`)).toMatchObject({ status: 'unknown' });
});

test('a record that is none does not cost the others', async () => {
  const tenant = await service.newTenant();
  const answer = await load(tenant, JSON.stringify({ Records: [records[0], { eventVersion: '1.08' }, 7, records[1]] }));
  expect(answer.status).toBe(202);
  expect(answer.json()).toMatchObject({ accepted: 2, duplicates: 0, rejected: [{ index: 1 }, { index: 2 }] });
  expect(answer.json().rejected).toHaveLength(2);
});

test.each([
  ['no JSON', 'nonsense', 400, 'malformed_json'], ['an empty list', '{"Records":[]}', 400, 'empty_body'], ['nothing', '', 400, 'empty_body'], ['a file that is cut off', file.slice(0, -100), 400, 'malformed_json'],
  ['a .gz that is cut off', gzipSync(file).subarray(0, -50), 400, 'malformed_encoding'], ['a bomb', gzipSync(Buffer.alloc(64 * 1024 * 1024)), 413, 'body_too_large'],
] as const)('%s', async (_, body, status, code) => {
  const tenant = await service.newTenant();
  const answer = await load(tenant, body);
  expect(answer.status).toBe(status);
  expect(answer.json()).toMatchObject({ status, code });
  expect(await tenant.everything()).toEqual([]);
});

test('records of no use are rejected with 422', async () => {
  const tenant = await service.newTenant();
  const answer = await load(tenant, '{"Records":[{"eventID":"x"}]}');
  expect(answer.status).toBe(422);
  expect(answer.json()).toMatchObject({ accepted: 0, rejected: [{ index: 0 }] });
});
