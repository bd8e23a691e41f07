/** Refused events: kept, shown, counted, and replayed after a fix. */
import type { QuarantineEntry, ReplayAnswer } from '@agent-audit/schemas';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DAY, ndjson, toolCall } from '../support/events.ts';
import type { Answer } from '../support/http.ts';
import { ServiceFolder, startService, type ServiceClient, type TestService } from '../support/service.ts';
import { Tenant } from '../support/tenant.ts';

let service: TestService;
let tenant: Tenant;
let admin: string;
let made = 0;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());
beforeEach(async () => {
  const name = `quarantine-${++made}`;
  tenant = new Tenant(service, name, await service.newKey({ tenant: name }));
  admin = await service.newKey({ tenant: name, scopes: ['admin'] });
});

const replayAt = (at: ServiceClient, key: string, body: unknown): Promise<Answer> =>
  at.post(typeof body === 'string' ? body : JSON.stringify(body), { path: '/v1/quarantine/replay', key });
const replay = (body: unknown): Promise<Answer> => replayAt(service, admin, body);
async function replayed(body: unknown): Promise<ReplayAnswer> {
  const answer = await replay(body);
  expect(answer.text).toMatch(/^{"replayed"/);
  return answer.json() as ReplayAnswer;
}
async function entries(query = 'from=-1h', of = tenant): Promise<QuarantineEntry[]> {
  const answer = await of.get(`/v1/quarantine?${query}`);
  expect(answer.status).toBe(200);
  return (answer.json() as { entries: QuarantineEntry[] }).entries;
}
const quarantined = async (of = tenant): Promise<number> => (await of.completeness('/v1/events?from=-1h')).quarantined;

const { outcome: _, ...withoutOutcome } = toolCall({ event_id: 'late-fix' });
const NOTHING = { replayed: 0, duplicates: 0, still_rejected: [], not_found: [], next_cursor: null };

describe('after the limits were raised', () => {
  test('what was too large is recorded, once, and no longer counted as outstanding', async () => {
    const folder = await ServiceFolder.make();
    try {
      const before = await folder.start({ MAX_EVENT_BYTES: '1000' });
      const big = JSON.stringify(toolCall({ event_id: 'big', tool: { name: 't', arguments: { text: 'x'.repeat(2000) } } }));
      const broken = '{"event_id":"never"}';
      expect((await before.post(ndjson([big, broken, toolCall({ event_id: 'small' })]), { type: 'application/x-ndjson' })).json()).toMatchObject({ accepted: 1, rejected: [{}, {}] });
      const then = new Tenant(before, 'default', before.adminKey);
      const [refused] = await entries('from=-1h&code=too_big', then);
      expect(refused).toMatchObject({ state: 'quarantined', replay: null, errors: [{ code: 'too_big' }] });
      expect(await quarantined(then)).toBe(2);
      before.kill('SIGTERM');
      await before.exited;

      const after = await folder.start();
      const now = new Tenant(after, 'default', after.adminKey);
      const ask = async (): Promise<ReplayAnswer> => (await replayAt(after, after.adminKey, { from: '-1h' })).json() as ReplayAnswer;
      expect(await ask()).toMatchObject({ replayed: 1, duplicates: 0, still_rejected: [{ errors: expect.arrayContaining([expect.objectContaining({ code: 'required' })]) as unknown }] });
      expect(await quarantined(now)).toBe(1);
      expect((await now.all(`/v1/events?${DAY}&agent_id=agent:billing`)).map(({ raw }) => raw)).toContain(big);
      expect(await entries('from=-1h&state=replayed', now)).toEqual([
        { ...refused, state: 'replayed', replay: { at: expect.stringMatching(/Z$/), origin: 'http:admin', event_id: 'big', corrected: false } },
      ]);
      expect(await entries('from=-1h&state=quarantined', now)).toHaveLength(1);
      expect(await ask()).toMatchObject({ replayed: 0, duplicates: 0, still_rejected: [{}] });
      expect(await quarantined(now)).toBe(1);
      after.kill('SIGTERM');
      expect(await after.exited).toEqual({ code: 0, signal: null });
    } finally {
      await folder.remove();
    }
  });
});

describe('corrected bytes', () => {
  test('are recorded as they are sent, and the entry stays what it was', async () => {
    await tenant.post(JSON.stringify(withoutOutcome));
    const [entry] = (await entries()) as [QuarantineEntry];
    const exact = `{ "attributes":{"big":9223372036854775808},${JSON.stringify(toolCall({ event_id: 'late-fix' })).slice(1)}`;
    expect(await replayed(`{"id":"${entry.id.toUpperCase()}", "event" : ${exact} }`)).toEqual({ ...NOTHING, replayed: 1 });
    expect((await tenant.everything()).map(({ raw }) => raw)).toEqual([exact]);
    expect(await entries()).toEqual([{ ...entry, state: 'replayed', replay: expect.objectContaining({ event_id: 'late-fix', corrected: true }) as unknown }]);
    expect(await quarantined()).toBe(0);
    // Again, also with other bytes: it is replayed.
    expect(await replayed({ id: entry.id, event: toolCall({ event_id: 'late-fix' }) })).toEqual({ ...NOTHING, duplicates: 1 });
    expect(await replayed({ ids: [entry.id, entry.id] })).toEqual({ ...NOTHING, duplicates: 1 });
    expect(await tenant.everything()).toHaveLength(1);
  });

  test('that are wrong, too, change nothing', async () => {
    await tenant.post(JSON.stringify(withoutOutcome));
    const [entry] = (await entries()) as [QuarantineEntry];
    expect(await replayed({ id: entry.id, event: { ...withoutOutcome, color: 'red' } })).toMatchObject({ replayed: 0, still_rejected: [{ quarantine_id: entry.id, errors: [{ path: '/outcome' }, { path: '/color' }] }] });
    expect(await entries()).toEqual([entry]);
    expect(await quarantined()).toBe(1);
  });
});

test('two replays at the same moment record it once', async () => {
  await tenant.post(JSON.stringify(withoutOutcome));
  const [entry] = (await entries()) as [QuarantineEntry];
  const event = toolCall({ event_id: 'late-fix' });
  const answers = await Promise.all(Array.from({ length: 4 }, () => replayed({ id: entry.id, event })));
  expect(answers.map((answer) => [answer.replayed, answer.duplicates]).toSorted()).toEqual([[0, 1], [0, 1], [0, 1], [1, 0]]);
  expect(await tenant.everything()).toHaveLength(1);
  expect(await quarantined()).toBe(0);
});

test('what the producer sent again meanwhile is a duplicate, and marked', async () => {
  await tenant.post(JSON.stringify([withoutOutcome]));
  const event = toolCall({ event_id: 'late-fix' });
  await tenant.record([event]);
  const [entry] = (await entries()) as [QuarantineEntry];
  expect(await replayed({ id: entry.id, event })).toEqual({ ...NOTHING, duplicates: 1 });
  expect(await entries('from=-1h&state=replayed')).toHaveLength(1);
  expect(await tenant.everything()).toHaveLength(1);
});

test('CloudTrail records and CloudEvents are read as what they are', async () => {
  const record = { eventID: 'ct-1', eventTime: '2026-03-01T12:00:00Z', eventName: 'GetObject' };
  await tenant.post(JSON.stringify({ Records: [record] }), { path: '/v1/import/cloudtrail' });
  const envelope = { specversion: '1.0', id: '1', type: 't', data: toolCall({ event_id: 'enveloped' }) };
  await tenant.post(JSON.stringify([envelope]), { type: 'application/cloudevents-batch+json' });
  const [trail, cloud] = (await entries()) as [QuarantineEntry, QuarantineEntry];
  expect(await replayed({ from: '-1h' })).toMatchObject({
    still_rejected: [{ quarantine_id: trail.id, errors: [{ path: '/eventSource', code: 'required' }] }, { quarantine_id: cloud.id, errors: [{ path: '/source', code: 'required' }] }],
  });
  expect(await replayed({ id: trail.id, event: { ...record, eventSource: 's3.amazonaws.com' } })).toEqual({ ...NOTHING, replayed: 1 });
  expect(await replayed({ id: cloud.id, event: { ...envelope, source: '/gw' } })).toEqual({ ...NOTHING, replayed: 1 });
  expect((await tenant.everything()).map(({ event }) => event.event_id).toSorted()).toEqual(['ct-1', 'enveloped']);
  expect((await entries()).map((entry) => entry.replay?.event_id)).toEqual(['ct-1', 'enveloped']);
});

test('a window is gone through page by page', async () => {
  await tenant.post(ndjson(Array.from({ length: 5 }, (_, i) => ({ event_id: `bad-${i}` }))), { type: 'application/x-ndjson' });
  const seen: string[] = [];
  for (let cursor: string | null = null, first = true; first || cursor !== null; first = false) {
    const answer: ReplayAnswer = await replayed({ from: '-1h', code: 'required', limit: 2, ...(cursor === null ? {} : { cursor }) });
    expect(answer.still_rejected.length).toBeLessThanOrEqual(2);
    seen.push(...answer.still_rejected.map((entry) => entry.quarantine_id));
    cursor = answer.next_cursor;
  }
  expect(seen).toEqual((await entries()).map(({ id }) => id));
  expect(await replayed({ from: '-1h', code: 'too_big' })).toEqual(NOTHING);
});

test('only of the own tenant, and only with `admin`', async () => {
  await tenant.post('{}');
  const [entry] = (await entries()) as [QuarantineEntry];
  const stranger = await service.newKey({ tenant: 'quarantine-stranger', scopes: ['admin'] });
  expect((await replayAt(service, stranger, { id: entry.id, event: toolCall() })).json()).toEqual({ ...NOTHING, not_found: [entry.id] });
  expect((await replayAt(service, stranger, { from: '-1h' })).json()).toEqual(NOTHING);
  expect((await replayAt(service, tenant.key, { ids: [entry.id] })).status).toBe(403);
});

test.each<[unknown, string]>([
  ['{', 'malformed_json'], ['{"ids":["x"],"ids":[]}', 'malformed_json'], [{}, 'invalid_parameter'], ['[]', 'invalid_parameter'], [{ ids: [] }, 'invalid_parameter'], [{ ids: ['x'] }, 'invalid_parameter'],
  [{ from: 'yesterday' }, 'invalid_parameter'], [{ from: '-1h', to: '-2h' }, 'invalid_parameter'], [{ from: '-1h', limit: 1001 }, 'invalid_parameter'], [{ from: '-1h', cursor: 'x' }, 'invalid_cursor'],
  [{ from: '-1h', code: 'nope' }, 'invalid_parameter'], [{ from: '-1h', unknown: 1 }, 'invalid_parameter'], [{ id: '0199a0b0-0000-7000-8000-000000000000' }, 'invalid_parameter'],
  [{ id: '0199a0b0-0000-7000-8000-000000000000', event: 'text' }, 'invalid_parameter'],
])('%j is refused', async (body, code) => {
  const answer = await replay(body);
  expect([answer.status, answer.json().code]).toEqual([400, code]);
});

test.each(['state=gone', 'state=replayed&state=replayed', 'code=nope', 'code=', 'tool=x'])('GET /v1/quarantine?from=-1h&%s is refused', async (query) => {
  expect((await tenant.get(`/v1/quarantine?from=-1h&${query}`)).status).toBe(400);
});
