import { SCOPES, type AuditEvent, type KeyInfo, type Scope } from '@agent-audit/schemas';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EVER, toolCall } from '../support/events.ts';
import type { Answer } from '../support/http.ts';
import { lines, startService, type TestService } from '../support/service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const makeKey = (body: object, key = service.adminKey): Promise<Answer> => service.post(JSON.stringify(body), { path: '/v1/keys', key });
const listKeys = async (key: string, query = ''): Promise<KeyInfo[]> => (await service.get(`/v1/keys${query}`, key)).json().keys;
const revoke = (id: string, key: string, query = ''): Promise<Answer> => service.send(`/v1/keys/${id}${query}`, { method: 'DELETE', key });
let names = 0;
const newName = (): string => `org-${++names}`;

describe('the life of a key', () => {
  test('made, used, listed, revoked', async () => {
    const tenant = newName();
    const expires = '2100-01-01T00:00:00Z';
    const answer = await makeKey({ name: 'gateway ü', tenant, scopes: ['events:write', 'events:read', 'events:read'], expires_at: expires });
    expect(answer.status).toBe(201);
    const { secret, ...info } = answer.json();
    expect(info).toEqual({ id: expect.any(String), name: 'gateway ü', tenant, scopes: ['events:write', 'events:read'], created_at: expect.stringMatching(/Z$/), expires_at: expires, revoked_at: null, rate: { events_per_second: null, requests_per_second: null } });
    expect(secret).toMatch(/^\S{32,}$/);
    expect((await service.get('/v1/agents', secret)).status).toBe(200);
    expect(await listKeys(service.adminKey, `?tenant=${tenant}`)).toEqual([info]);
    expect(await revoke(info.id, service.adminKey, `?tenant=${tenant}`)).toMatchObject({ status: 204, text: '' });
    expect((await service.get('/v1/agents', secret)).status).toBe(401);
    const [revoked] = await listKeys(service.adminKey, `?tenant=${tenant}`);
    expect(revoked).toEqual({ ...info, revoked_at: expect.stringMatching(/Z$/) });
    // Once more changes nothing.
    expect((await revoke(info.id, service.adminKey, `?tenant=${tenant}`)).status).toBe(204);
    expect(await listKeys(service.adminKey, `?tenant=${tenant}`)).toEqual([revoked]);
  });

  test('the secret is shown once and never listed; no two are alike', async () => {
    const tenant = newName();
    const secrets = new Set<string>();
    for (let i = 0; i < 5; i++) secrets.add((await makeKey({ name: 'same name', tenant, scopes: ['admin'] })).json().secret);
    expect(secrets.size).toBe(5);
    const [any] = secrets as unknown as Iterable<string>;
    const listed = (await service.get(`/v1/keys?tenant=${tenant}`)).text + (await service.get('/v1/keys', any)).text;
    for (const secret of secrets) expect(listed).not.toContain(secret.slice(4, 20));
    expect(listed).not.toMatch(/secret|sha256/);
  });

  test('a key that is not there', async () => {
    expect((await revoke('key_nobody', service.adminKey)).status).toBe(404);
  });
});

describe('scopes', () => {
  /** Every route with the scope that it needs; none needs none. */
  const routes: readonly { method: string; path: string; scope: Scope | 'none'; operator?: true; body?: string; type?: string }[] = [
    { method: 'POST', path: '/v1/events', scope: 'events:write', body: '{}' },
    { method: 'POST', path: '/v1/events', scope: 'events:write', body: '', type: 'application/x-ndjson' },
    { method: 'POST', path: '/v1/import/cloudtrail', scope: 'events:write', body: '{}' },
    { method: 'GET', path: '/v1/events?from=-1h', scope: 'events:read' },
    { method: 'HEAD', path: '/v1/events?from=-1h', scope: 'events:read' },
    { method: 'GET', path: '/v1/events', scope: 'events:read' },
    { method: 'GET', path: '/v1/events/some-id', scope: 'events:read' },
    { method: 'GET', path: '/v1/agents', scope: 'events:read' },
    { method: 'GET', path: '/v1/agents/some/agent/timeline?from=-1h', scope: 'events:read' },
    { method: 'GET', path: '/v1/quarantine?from=-1h', scope: 'events:read' },
    { method: 'POST', path: '/v1/quarantine/replay', scope: 'admin', body: '{}' },
    { method: 'POST', path: '/v1/heartbeats', scope: 'events:write', body: '{}' },
    { method: 'GET', path: '/v1/completeness?from=-1h', scope: 'events:read' },
    { method: 'GET', path: '/v1/events/some-id/proof', scope: 'events:read' },
    { method: 'POST', path: '/v1/erasures', scope: 'admin', body: '{}' },
    { method: 'GET', path: '/v1/logs', scope: 'events:read' },
    { method: 'POST', path: '/v1/logs/rotate-key', scope: 'admin', operator: true },
    { method: 'GET', path: '/v1/logs/some/log/checkpoint', scope: 'events:read' },
    { method: 'GET', path: '/v1/logs/some/log/tile/0/000', scope: 'events:read' },
    { method: 'GET', path: '/v1/logs/some/log/consistency?from=0', scope: 'events:read' },
    { method: 'GET', path: '/v1/keys', scope: 'admin' },
    { method: 'POST', path: '/v1/keys', scope: 'admin', body: '{}' },
    { method: 'DELETE', path: '/v1/keys/some-id', scope: 'admin' },
    { method: 'GET', path: '/healthz', scope: 'none' },
    { method: 'GET', path: '/readyz', scope: 'none' },
    { method: 'GET', path: '/openapi.json', scope: 'none' },
  ];

  test.each(SCOPES)('a key with nothing but %s', async (scope) => {
    const key = await service.newKey({ tenant: newName(), scopes: [scope] });
    for (const { method, path, scope: needs, operator, body, type = 'application/json' } of routes) {
      const { status } = await service.send(path, { method, key, ...(body === undefined ? {} : { body, headers: { 'content-type': type } }) });
      // The key is of another tenant than the operator's.
      const allowed = needs === 'none' || (needs === scope && operator !== true);
      expect({ method, path, scope, refused: status === 403 || status === 401, status }).toEqual({ method, path, scope, refused: !allowed, status: allowed ? expect.any(Number) : 403 });
      expect(status).toBeLessThan(500);
    }
  });

  test('every route of the OpenAPI document is in the table, and refuses to answer without a key', async () => {
    const { paths } = (await service.send('/openapi.json')).json() as { paths: Record<string, Record<string, unknown>> };
    const open = new Set(['/healthz', '/readyz', '/openapi.json']);
    for (const [path, operations] of Object.entries(paths)) {
      for (const method of Object.keys(operations).map((name) => name.toUpperCase())) {
        const { status } = await service.send(path.replaceAll(/\{\w+\}/g, 'x'), { method });
        if (open.has(path) || path.startsWith('/schemas/')) expect({ path, status }).toEqual({ path, status: 200 });
        else expect({ method, path, status }).toEqual({ method, path, status: 401 });
        const known = routes.some((route) => route.method === method && new RegExp(`^${path.replaceAll(/\{\w+\}/g, '.+')}(\\?|$)`).test(route.path));
        if (path !== '/metrics' && !path.startsWith('/schemas/')) expect({ method, path, known }).toEqual({ method, path, known: true });
      }
    }
  });
});

function withKey([body, options]: ReturnType<typeof lines>, key: string): [string, { type: string; key: string }] {
  return [body, { ...options, key }];
}

/** A tenant with every kind of thing, and a second that must not notice. */
async function neighbours(): Promise<{ a: string; b: string; aName: string; events: AuditEvent[]; keyIdOfA: string }> {
  const [aName, bName] = [newName(), newName()];
  const made = (await makeKey({ name: 'a', tenant: aName, scopes: SCOPES })).json();
  const b = await service.newKey({ tenant: bName, scopes: SCOPES });
  const events = Array.from({ length: 5 }, (_, i) => toolCall({ event_id: `shared-${i}`, agent: { id: 'team/agent of a' }, source: { emitter: 'gw', sequence: i } }));
  expect((await service.post(...withKey(lines([...events, '{}']), made.secret))).json()).toMatchObject({ accepted: 5 });
  expect((await service.post(JSON.stringify({ ...events[0], action: 'delete' }), { key: made.secret })).json()).toMatchObject({ accepted: 1 });
  return { a: made.secret, b, aName, events, keyIdOfA: made.id };
}

/** What may differ between two answers to the same question. */
const settled = ({ status, text }: Answer): { status: number; text: string } => ({ status, text: text.replaceAll(/"as_of":"[^"]*"/g, '"as_of":""') });

describe('tenants', () => {
  test('what exists elsewhere is answered exactly as what does not exist', async () => {
    const { a, b, events, keyIdOfA } = await neighbours();
    const [id, agent] = [events[0]?.event_id as string, encodeURIComponent(events[0]?.agent.id as string)];
    const routes: readonly (readonly [method: string, there: string, nowhere: string])[] = [
      ['GET', `/v1/events/${id}`, '/v1/events/never-was'],
      ['GET', `/v1/agents/${agent}/timeline?${EVER}`, `/v1/agents/never-was/timeline?${EVER}`],
      ['GET', `/v1/events?${EVER}&agent_id=${agent}`, `/v1/events?${EVER}&agent_id=never-was`],
      ['GET', `/v1/events?${EVER}&tool=search_invoices`, `/v1/events?${EVER}&tool=never-was`],
      ['GET', `/v1/events?${EVER}&-tool=x`, `/v1/events?${EVER}&-tool=y`],
      ['DELETE', `/v1/keys/${keyIdOfA}`, '/v1/keys/key_never_was'],
    ];
    for (const [method, there, nowhere] of routes) {
      const [one, other] = [await service.send(there, { method, key: b }), await service.send(nowhere, { method, key: b })];
      expect({ there, ...settled(one) }).toEqual({ there, ...settled(other) });
    }
    expect((await service.get('/v1/agents', b)).json()).toEqual({ agents: [], next_cursor: null });
    expect((await service.get('/v1/quarantine?from=-1h', b)).json()).toEqual({ entries: [], next_cursor: null, dropped: 0 });
    expect((await service.get(`/v1/events?${EVER}`, b)).json()).toMatchObject({ events: [], completeness: { status: 'unknown', emitters: [], quarantined: 0, late: 0, conflicts: 0 } });
    expect((await listKeys(b)).map(({ name }) => name)).toEqual(['test']);
    // And all of it is there for its owner.
    expect((await service.get(`/v1/events/${id}`, a)).json()).toMatchObject({ event: events[0], conflicts: [{}] });
    expect((await service.get(`/v1/events?${EVER}`, a)).json().events).toHaveLength(6);
    expect((await service.get('/v1/quarantine?from=-1h', a)).json().entries).toHaveLength(1);
  });

  test('the same id in two tenants is two events', async () => {
    const { a, b, events } = await neighbours();
    const mine = events.map((event) => ({ ...event, action: 'send' as const, source: { emitter: 'gw', sequence: 100 } }));
    // Neither duplicates nor conflicts.
    const answer = await service.post(...withKey(lines(mine), b));
    expect(answer.json()).toEqual({ accepted: 5, duplicates: 0, rejected: [] });
    expect((await service.get('/v1/events/shared-0', b)).json()).toMatchObject({ event: mine[0], recorded: { flags: ['late'], log_index: 0 }, conflicts: [] });
    expect((await service.get('/v1/events/shared-0', a)).json()).toMatchObject({ event: events[0], conflicts: [{ event: { action: 'delete' } }] });
    expect((await service.post(...withKey(lines(events), a))).json()).toEqual({ accepted: 0, duplicates: 5, rejected: [] });
  });

  test('an event cannot name a tenant', async () => {
    const { b, aName } = await neighbours();
    const answer = await service.post(JSON.stringify({ ...toolCall(), tenant: aName }), { key: b });
    expect(answer.status).toBe(422);
    expect(answer.json().rejected[0].errors).toMatchObject([{ path: '/tenant', code: 'unknown_field' }]);
  });

  test('headers and parameters cannot choose a tenant', async () => {
    const { b, aName } = await neighbours();
    for (const header of ['x-tenant', 'x-tenant-id', 'x-scope-orgid', 'x-agent-audit-tenant']) {
      expect((await service.send('/v1/agents', { key: b, headers: { [header]: aName } })).json()).toEqual({ agents: [], next_cursor: null });
    }
    expect((await service.get(`/v1/events?${EVER}&tenant=${aName}`, b)).status).toBe(400);
  });

  test('an admin manages the keys of its own tenant, and cannot tell which others there are', async () => {
    const { b, aName, keyIdOfA, a } = await neighbours();
    const bName = (await listKeys(b))[0]?.tenant as string;
    for (const other of [aName, 'never-was', 'default']) {
      const answers = [await makeKey({ name: 'x', tenant: other, scopes: ['events:read'] }, b), await service.get(`/v1/keys?tenant=${other}`, b), await revoke(keyIdOfA, b, `?tenant=${other}`)];
      expect(answers.map(({ status }) => status)).toEqual([403, 403, 403]);
      const texts = answers.map(({ text }) => text);
      expect(texts).toEqual(texts.map(() => texts[0]));
    }
    expect((await service.get('/v1/agents', a)).status).toBe(200);
    // Its own it may name.
    expect((await makeKey({ name: 'x', tenant: bName, scopes: ['events:read'] }, b)).status).toBe(201);
    expect((await makeKey({ name: 'y', scopes: ['events:read'] }, b)).json()).toMatchObject({ tenant: bName });
  });

  test('the operator makes, lists and revokes keys for any tenant', async () => {
    const tenant = newName();
    const made = (await makeKey({ name: 'x', tenant, scopes: ['events:read'] })).json();
    expect(made).toMatchObject({ tenant });
    expect((await listKeys(service.adminKey, `?tenant=${tenant}`)).map(({ id }) => id)).toEqual([made.id]);
    expect((await listKeys(service.adminKey)).map(({ tenant: of }) => of)).not.toContain(tenant);
    // Only there where the key is.
    expect((await revoke(made.id, service.adminKey)).status).toBe(404);
    expect((await service.get('/v1/agents', made.secret)).status).toBe(200);
    expect((await revoke(made.id, service.adminKey, `?tenant=${tenant}`)).status).toBe(204);
  });

  test('a key of the operator without admin makes none', async () => {
    const key = await service.newKey({ scopes: ['events:read', 'events:write', 'exports', 'rules'] });
    expect((await makeKey({ name: 'x', tenant: newName(), scopes: ['admin'] }, key)).status).toBe(403);
  });
});
