import type { Completeness } from '@agent-audit/schemas';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { at, SECOND, toolCall } from '../support/events.ts';
import type { Answer } from '../support/http.ts';
import { ServiceFolder, type ServiceProcess } from '../support/service.ts';
import { StoreProxy } from '../support/store-proxy.ts';
import { startTestEngine } from '../support/store.ts';
import { Tenant } from '../support/tenant.ts';
import { until } from '../support/until.ts';

let engine: Awaited<ReturnType<typeof startTestEngine>>;
let proxy: StoreProxy;
let folder: ServiceFolder;
let settings: Record<string, string>;
let service: ServiceProcess;
let tenant: Tenant;
beforeAll(async () => {
  engine = await startTestEngine();
  proxy = await StoreProxy.start(engine.options.url);
  folder = await ServiceFolder.make();
  settings = { CLICKHOUSE_URL: proxy.url, CLICKHOUSE_USER: engine.options.username as string, CLICKHOUSE_PASSWORD: engine.options.password as string };
  service = await folder.start({ settings });
});
afterAll(async () => {
  await folder.remove();
  await proxy.stop();
  await engine[Symbol.asyncDispose]();
});
beforeEach(async () => {
  tenant = await service.newTenant();
});

const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
const beat = (body: unknown, options: { type?: string; key?: string } = {}): Promise<Answer> =>
  tenant.post(typeof body === 'string' ? body : JSON.stringify(body), { path: '/v1/heartbeats', ...options });
const statement = async (query = 'from=-1h'): Promise<Completeness> => {
  const answer = await tenant.get(`/v1/completeness?${query}`);
  expect(answer.status).toBe(200);
  return answer.json() as Completeness;
};
const numbered = (sequence: number, instance = 'run-1') =>
  toolCall({ event_id: `${instance}.${sequence}`, time: at(now() - SECOND), agent: { id: 'agent:a', instance_id: instance }, source: { emitter: 'sdk', sequence } });

describe('POST /v1/heartbeats', () => {
  it('shows what is missing behind the last event, until it arrives', async () => {
    await tenant.record([1, 2, 3].map((sequence) => numbered(sequence)));
    expect(await statement()).toMatchObject({ status: 'complete', emitters: [{ emitter: 'sdk', instance_id: 'run-1', first: 1, last: 3, state: 'active', heartbeat: null }] });
    const said = { emitter: 'sdk', instance_id: 'run-1', time: at(now()), sequence: 5, next_within_seconds: 3600 };
    for (let times = 0; times < 2; times++) expect(await beat(said)).toMatchObject({ status: 202, text: expect.stringContaining('{"accepted":1,"rejected":[]}') as string });
    const known = await statement();
    expect(known).toMatchObject({ status: 'gaps', emitters: [{ status: 'gaps', seen: [[1, 3]], missing: [[4, 5]], heartbeat: { sequence: 5, last_at: expect.stringMatching(/Z$/), due_at: expect.stringMatching(/Z$/) } }] });
    const { as_of: _, ...same } = await tenant.completeness('/v1/agents/agent:a/timeline?from=-1h');
    expect(known).toMatchObject(same);
    await tenant.record([4, 5].map((sequence) => numbered(sequence)));
    expect(await statement()).toMatchObject({ status: 'complete', emitters: [{ first: 1, last: 5, missing: [] }] });
  });

  it('an instance that starts again counts from its own start', async () => {
    await tenant.record([1, 2, 4].map((sequence) => numbered(sequence)));
    await tenant.record([1, 2, 3].map((sequence) => numbered(sequence, 'run-2')));
    expect(await statement('from=-1h&agent_id=agent:a&agent_id=agent:b')).toMatchObject({
      status: 'gaps', emitters: [{ instance_id: 'run-1', missing: [[3, 3]], duplicated: [], restarted: false }, { instance_id: 'run-2', missing: [], duplicated: [], restarted: true }],
    });
    expect(await statement('from=-1h&agent_id=agent:b')).toMatchObject({ status: 'unknown', emitters: [] });
  });

  it('an instance that cannot be told from the one before it used numbers twice', async () => {
    const without = (sequence: number, id: string) => toolCall({ event_id: id, time: at(now() - SECOND), source: { emitter: 'sdk', sequence } });
    await tenant.record([without(1, 'a1'), without(2, 'a2'), without(3, 'a3'), without(1, 'b1'), without(2, 'b2')]);
    expect(await statement()).toMatchObject({ status: 'unknown', emitters: [{ instance_id: null, status: 'unknown', missing: [], duplicated: [[1, 2]] }] });
  });

  it('tells idle from silent', async () => {
    expect((await beat([{ emitter: 'idle', time: at(now()), sequence: 1, next_within_seconds: 60 }, { emitter: 'silent', time: at(now()), next_within_seconds: 1 }])).status).toBe(202);
    await until(async () => (await statement()).emitters.map(({ emitter, state }) => [emitter, state]), (states) => states.some(([, state]) => state === 'silent'));
    expect(await statement()).toMatchObject({ status: 'gaps', emitters: [{ emitter: 'idle', state: 'idle', missing: [[1, 1]] }, { emitter: 'silent', state: 'silent', status: 'unknown' }] });
  });

  it('takes the good ones of an array, and says what is wrong with the others', async () => {
    const answer = await beat([
      { emitter: 'e', time: '2100-01-01T00:00:00Z' }, { emitter: 'e' }, { emitter: 'e', time: at(now()), sequense: 1 }, { emitter: 'e', time: '1960-01-01T00:00:00Z' }, { emitter: '\ud800', time: at(now()) }, 7,
    ]);
    expect(answer.status).toBe(202);
    const codes = (answer.json() as { rejected: { index: number; errors: { path: string; code: string }[] }[] }).rejected.map(({ index, errors }) => [index, errors[0]?.path, errors[0]?.code]);
    expect(codes).toEqual([[1, '/time', 'required'], [2, '/sequense', 'unknown_field'], [3, '/time', 'time_out_of_range'], [4, '/emitter', 'invalid_unicode'], [5, '', 'wrong_type']]);
    // A time to come counts as the receipt.
    const [emitter] = (await statement()).emitters;
    expect(Math.abs(Date.parse(emitter?.heartbeat?.last_at ?? '') - Date.now())).toBeLessThan(60_000);
  });

  it.each<[string, number, unknown, { type?: string }?]>([
    ['all are wrong', 422, [{}]],
    ['there is none', 400, []],
    ['there are too many', 400, Array.from({ length: 1001 }, () => ({}))],
    ['it is no JSON', 400, '{'],
    ['a key is there twice', 400, '{"emitter":"e","emitter":"f","time":"2026-01-01T00:00:00Z"}'],
    ['it nests', 400, '[[[1]]]'],
    ['it is of another type', 415, {}, { type: 'text/plain' }],
  ])('is refused where %s: %i', async (_, status, body, options = {}) => {
    expect((await beat(body, options)).status).toBe(status);
  });

  it('needs the scope events:write', async () => {
    const key = await service.newKey({ tenant: tenant.name, scopes: ['events:read'] });
    expect((await beat({ emitter: 'e', time: at(now()) }, { key })).status).toBe(403);
    expect((await service.send('/v1/heartbeats', { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } })).status).toBe(401);
  });

  it('is 503 while ClickHouse is away: nothing is acknowledged that is not stored', async () => {
    const said = { emitter: 'e', time: at(now()), sequence: 3 };
    proxy.treat = () => 'cut-before';
    const refused = await beat(said);
    proxy.treat = () => 'pass';
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': expect.stringMatching(/^\d+$/) as string } });
    expect((await statement()).emitters).toEqual([]);
    expect((await beat(said)).status).toBe(202);
    expect(await statement()).toMatchObject({ status: 'gaps', emitters: [{ emitter: 'e', state: 'stopped', missing: [[3, 3]] }] });
  });
});

describe('GET /v1/completeness', () => {
  it.each(['', 'from=-1h&limit=5', 'from=-1h&tool=x', 'from=-1h&-agent_id=x', 'from=-1h&agent_id=', 'from=now&to=-1h'])('?%s: 400', async (query) => {
    expect((await tenant.get(`/v1/completeness?${query}`)).status).toBe(400);
  });

  it('needs the scope events:read', async () => {
    const key = await service.newKey({ tenant: tenant.name, scopes: ['events:write'] });
    expect((await service.get('/v1/completeness?from=-1h', key)).status).toBe(403);
  });
});

// Last, since the service is another one afterwards.
it('a time in which no collector ran is told; one in which ClickHouse was away is none', async () => {
  proxy.treat = () => 'cut-before';
  await until(() => service.send('/readyz'), ({ text }) => text.includes('degraded'));
  proxy.treat = () => 'pass';
  await until(() => service.send('/readyz'), ({ text }) => text.includes('"ready"'));
  expect((await statement()).downtime).toEqual([]);
  service.kill('SIGTERM');
  expect((await service.exited).code).toBe(0);
  const stopped = Date.now();
  service = await folder.start({ settings });
  tenant = new Tenant(service, tenant.name, tenant.key);
  const { downtime } = await until(() => statement(), (known) => known.downtime.length > 0);
  expect(downtime).toHaveLength(1);
  const [from, to] = (downtime[0] as [string, string]).map((time) => Date.parse(time)) as [number, number];
  expect(from).toBeLessThanOrEqual(stopped);
  expect(to).toBeGreaterThan(stopped);
  expect(to).toBeLessThanOrEqual(Date.now());
  // Only of windows that it touches.
  expect((await statement(`from=${new Date(to + 1).toISOString()}`)).downtime).toEqual([]);
});
