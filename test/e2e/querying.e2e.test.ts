import type { AuditEvent } from '@agent-audit/schemas';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { at, between, byUtf8, dataAccess, DAY, EVER, HOUR, inOrder, NOON, SECOND, toolCall } from '../support/events.ts';
import { randomEvent } from '../support/random-events.ts';
import { Random } from '../support/random.ts';
import { lines, startService, type TestService } from '../support/service.ts';
import { ids, type Tenant } from '../support/tenant.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

/** Events of which half share one time, over three agents, and two conflicts and a duplicate among them. */
async function crowd(size = 130): Promise<{ tenant: Tenant; want: string[] }> {
  const tenant = await service.newTenant();
  const events = Array.from({ length: size }, (_, i) => toolCall({ event_id: `p-${String(i).padStart(3, '0')}`, time: at(NOON + BigInt(i < size / 2 ? 0 : i) * SECOND), agent: { id: `agent-${i % 3}` } }));
  await tenant.record(new Random(2).shuffled(events));
  const [twice, conflicting] = [events[5], events[6]] as [AuditEvent, AuditEvent];
  await tenant.post(...lines([twice, { ...conflicting, action: 'delete' }, { ...conflicting, action: 'send' }]));
  const want = inOrder([...events, conflicting, conflicting]).map(({ event_id: id }) => id);
  return { tenant, want };
}

describe('pages', () => {
  test.each([['asc', 30, [1, 2]], ['desc', 30, [1, 2]], ['asc', 130, [7, 100, 1000]], ['desc', 130, [7, 100, 1000]]] as const)('show each event exactly once, %s, of %i by %j', async (order, size, limits) => {
    const { tenant, want } = await crowd(size);
    for (const limit of limits) {
      const pages = await Array.fromAsync(tenant.pages(`/v1/events?${DAY}&order=${order}`, limit));
      expect(ids(pages.flatMap(({ events }) => events))).toEqual(order === 'asc' ? want : want.toReversed());
      for (const page of pages.slice(0, -1)) expect(page.events).toHaveLength(limit);
      expect(pages.length).toBeLessThanOrEqual(Math.ceil(want.length / limit) + 1);
      const raws = pages.flatMap(({ events }) => events.map(({ raw }) => raw));
      expect(new Set(raws).size).toBe(raws.length);
    }
  });

  test('of the timeline', async () => {
    const { tenant, want } = await crowd();
    const own = want.filter((id) => Number(id.slice(2)) % 3 === 0);
    for (const limit of [2, 7, 100]) expect(ids(await tenant.all(`/v1/agents/agent-0/timeline?${DAY}`, limit))).toEqual(own);
  });

  test('the default is 100', async () => {
    const { tenant } = await crowd();
    expect((await tenant.page(`/v1/events?${DAY}`)).events).toHaveLength(100);
  });

  test.each(['asc', 'desc'])('while other events are being recorded: what was there is shown once, in order, %s', async (order) => {
    const { tenant, want } = await crowd();
    const stop = new AbortController();
    let more = 0;
    const recording = (async () => {
      const random = new Random(3);
      while (!stop.signal.aborted) {
        // Before, among and behind those that were there, at the shared time too.
        const events = Array.from({ length: 5 }, () => toolCall({ event_id: `new-${more++}`, time: at(NOON + BigInt(random.int(300) - 20) * SECOND * BigInt(random.int(2))), agent: { id: `agent-${random.int(4)}` } }));
        expect((await tenant.post(...lines(events))).status).toBe(202);
      }
    })();
    const shown = await tenant.all(`/v1/events?${DAY}&order=${order}`, 7);
    stop.abort();
    await recording;
    expect(more).toBeGreaterThan(20);
    const raws = shown.map(({ raw }) => raw);
    expect(new Set(raws).size).toBe(raws.length);
    const old = ids(shown).filter((id) => id.startsWith('p-'));
    expect(old).toEqual(order === 'asc' ? want : want.toReversed());
    const times = shown.map(({ event }) => event.time);
    expect(times).toEqual(order === 'asc' ? times.toSorted() : times.toSorted().toReversed());
  });

  test('the last page says so, also when it is full', async () => {
    const tenant = await service.newTenant();
    await tenant.record(Array.from({ length: 10 }, () => toolCall()));
    const pages = await Array.fromAsync(tenant.pages(`/v1/events?${DAY}`, 5));
    expect(pages.map(({ events }) => events.length).filter((n) => n > 0)).toEqual([5, 5]);
    expect(pages.at(-1)?.next_cursor).toBeNull();
  });
});

describe('windows', () => {
  test('long ones: years, and moments a day, nine days, … from the beginning and the end', async () => {
    const tenant = await service.newTenant();
    const day = 24n * HOUR;
    const [from, to] = [NOON - 3000n * day, NOON];
    // Where a long window may be read in parts, each eight times as long as the one before.
    const distances = [0n, 1n, 9n, 73n, 585n, 2999n].flatMap((days) => [-1n, 0n, 1n].map((ns) => days * day + ns));
    const times = [...new Set([...distances.map((ns) => from + ns), ...distances.map((ns) => to - ns)])].toSorted((a, b) => (a < b ? -1 : 1));
    await tenant.record(new Random(6).shuffled(times.map((time) => toolCall({ event_id: `t${time}`, time: at(time), agent: { id: `agent-${time % 2n}` } }))));
    const want = times.filter((time) => time >= from && time < to).map((time) => `t${time}`);
    for (const limit of [5, 1000]) {
      expect(ids(await tenant.all(`/v1/events?${between(from, to)}`, limit))).toEqual(want);
      expect(ids(await tenant.all(`/v1/events?${between(from, to)}&order=desc`, limit))).toEqual(want.toReversed());
      expect(ids(await tenant.all(`/v1/events?${EVER}`, limit))).toEqual(times.map((time) => `t${time}`));
    }
    const even = want.filter((id) => Number(id.at(-1)) % 2 === 0);
    expect(ids(await tenant.all(`/v1/agents/agent-0/timeline?${between(from, to)}`, 3))).toEqual(even);
    expect(ids(await tenant.all(`/v1/agents/agent-0/timeline?${between(from, to)}&order=desc`, 3))).toEqual(even.toReversed());
  });

  test('are half open, to the nanosecond', async () => {
    const tenant = await service.newTenant();
    const moments = [-2n, -1n, 0n, 1n, 2n];
    await tenant.record(moments.map((ns) => toolCall({ event_id: `ns${ns}`, time: at(NOON + ns) })));
    for (const from of moments) {
      for (const to of moments.filter((ns) => ns > from)) {
        const want = moments.filter((ns) => ns >= from && ns < to).map((ns) => `ns${ns}`);
        expect(ids(await tenant.all(`/v1/events?${between(NOON + from, NOON + to)}`))).toEqual(want);
        expect(ids(await tenant.all(`/v1/agents/agent:billing/timeline?${between(NOON + from, NOON + to)}`))).toEqual(want);
      }
    }
  });

  test('mean the same moment in any offset, also with an unencoded plus', async () => {
    const tenant = await service.newTenant();
    await tenant.record([toolCall({ event_id: 'inside', time: '2026-03-01T14:00:00+02:00' }), toolCall({ event_id: 'outside', time: '2026-03-01T14:00:00Z' })]);
    for (const window of [
      'from=2026-03-01T12:00:00Z&to=2026-03-01T12:00:01Z', 'from=2026-03-01T14:00:00%2B02:00&to=2026-03-01T14:00:01%2B02:00',
      'from=2026-03-01T14:00:00+02:00&to=2026-03-01T14:00:01+02:00', 'from=2026-03-01T07:00:00-05:00&to=2026-03-01T12:00:00.000000001z',
    ]) expect(ids(await tenant.all(`/v1/events?${window}`))).toEqual(['inside']);
  });

  test('relative ones end now, and stand still from page to page', async () => {
    const tenant = await service.newTenant();
    const now = BigInt(Date.now()) * 1_000_000n;
    const ages = { old: 8n * 24n * HOUR, week: 6n * 24n * HOUR, day: 20n * HOUR, hour: HOUR / 2n, minute: 10n * SECOND, future: -HOUR };
    await tenant.record(Object.entries(ages).map(([id, age]) => toolCall({ event_id: id, time: at(now - age) })));
    expect(ids(await tenant.all('/v1/events?from=-7d'))).toEqual(['week', 'day', 'hour', 'minute']);
    expect(ids(await tenant.all('/v1/events?from=-24h'))).toEqual(['day', 'hour', 'minute']);
    expect(ids(await tenant.all('/v1/events?from=-60m&to=now'))).toEqual(['hour', 'minute']);
    expect(ids(await tenant.all('/v1/events?from=-2w&to=-24h'))).toEqual(['old', 'week']);
    expect(ids(await tenant.all('/v1/events?from=-1h&to=2262-01-01T00:00:00Z'))).toEqual(['hour', 'minute', 'future']);
    expect(ids(await tenant.all('/v1/events?from=-7d', 1))).toEqual(['week', 'day', 'hour', 'minute']);
    // Recorded after the first page, at a time after its end: not of this window.
    const first = await tenant.page('/v1/events?from=-7d&limit=3');
    await tenant.record([toolCall({ event_id: 'later', time: at(BigInt(Date.now() + 1000) * 1_000_000n) })]);
    const next = await tenant.page(`/v1/events?from=-7d&limit=3&cursor=${encodeURIComponent(first.next_cursor as string)}`);
    expect(ids(next.events)).toEqual(['minute']);
  });

  test('an empty one is an answer too', async () => {
    const tenant = await service.newTenant();
    const page = await tenant.page(`/v1/events?${between(NOON, NOON + HOUR)}`);
    expect(page).toEqual({ events: [], next_cursor: null, completeness: { status: 'unknown', emitters: [], unnumbered: 0, quarantined: 0, late: 0, conflicts: 0, downtime: [], as_of: expect.stringMatching(/Z$/) } });
  });
});

describe('GET /v1/agents', () => {
  test('counts distinct events, and says when each agent was seen', async () => {
    const tenant = await service.newTenant();
    const random = new Random(4);
    const events = Array.from({ length: 200 }, (_, n) => randomEvent(random, `e-${n}`, 1000));
    await tenant.record(events);
    await tenant.post(...lines(events.slice(0, 50)));
    await tenant.post(...lines([{ ...(events[0] as AuditEvent), action: 'login' }]));
    const { agents, next_cursor: next } = (await tenant.get('/v1/agents')).json();
    expect(next).toBeNull();
    const want = [...Map.groupBy(events, ({ agent }) => agent.id)].toSorted(([a], [b]) => byUtf8(a, b)).map(([agent, own]) => {
      const times = own.map(({ time }) => time).toSorted();
      return { agent_id: agent, events: own.length, first_seen: Date.parse(times[0] as string), last_seen: Date.parse(times.at(-1) as string), tools: new Set(own.flatMap(({ tool }) => tool?.name ?? [])).size };
    });
    type Summary = { agent_id: string; events: number; first_seen: string; last_seen: string; tools: string[] };
    expect(agents.map((agent: Summary) => ({ agent_id: agent.agent_id, events: agent.events, first_seen: Date.parse(agent.first_seen), last_seen: Date.parse(agent.last_seen), tools: agent.tools.length }))).toEqual(want);
  });

  test('lists what an agent used', async () => {
    const tenant = await service.newTenant();
    await tenant.record([
      toolCall({ time: at(NOON), agent: { id: 'a', name: 'Old name' }, tool: { name: 'b-tool' }, network: { destination_host: 'h.example' } }),
      dataAccess({ time: at(NOON + 1n), agent: { id: 'a', name: 'New name' }, on_behalf_of: [{ type: 'user', id: 'u' }], resources: [{ uri: 'x', type: 'table' }, { uri: 'y', type: 'file' }] }),
      toolCall({ time: at(NOON - 1n), agent: { id: 'a', name: 'Oldest name' }, tool: { name: 'a-tool' } }),
    ]);
    expect((await tenant.get('/v1/agents')).json().agents).toEqual([{
      agent_id: 'a', name: 'New name', first_seen: '2026-03-01T11:59:59.999999999Z', last_seen: '2026-03-01T12:00:00.000000001Z', events: 3,
      tools: ['a-tool', 'b-tool'], hosts: ['h.example'], principals: ['u'], resource_types: ['file', 'table'],
    }]);
  });

  test.each(['asc', 'desc'])('pages, %s', async (order) => {
    const tenant = await service.newTenant();
    const names = Array.from({ length: 25 }, (_, i) => `agent ${i}/ü`);
    await tenant.record(names.map((id) => toolCall({ agent: { id } })));
    for (const limit of [1, 7, 25, 1000]) {
      const found: string[] = [];
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const page = (await tenant.get(`/v1/agents?limit=${limit}&order=${order}${cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`}`)).json();
        found.push(...page.agents.map(({ agent_id: id }: { agent_id: string }) => id));
        cursor = page.next_cursor as string | null;
      }
      const want = names.toSorted(byUtf8);
      expect(found).toEqual(order === 'asc' ? want : want.toReversed());
    }
  });

  // After the third query of a kind, the engine compiles min() and max(), and once took times before 1970 for the last.
  test('times before 1970 come first, however often it is asked', async () => {
    const tenant = await service.newTenant();
    const times = ['1900-01-01T00:00:00Z', '1969-12-31T23:59:59.999999999Z', '1970-01-01T00:00:00Z', '2026-03-01T12:00:00Z'];
    await tenant.record(times.map((time) => toolCall({ time })));
    for (let i = 0; i < 8; i++) expect((await tenant.get('/v1/agents')).json().agents).toMatchObject([{ first_seen: times[0], last_seen: times[3] }]);
  });
});

describe('agents with odd ids', () => {
  test.each(['team/a/b', '/', '//', 'a/timeline', 'with space', 'ünïcode/🤖', 'a?b#c&d=e', 'a%2Fb', '100%', 'a+b', '..', '../x', '.', 'agents', 'x'.repeat(512)])('%s', async (id) => {
    const tenant = await service.newTenant();
    const event = toolCall({ agent: { id } });
    await tenant.record([event, toolCall({ agent: { id: 'another' } })]);
    if (id !== '.' && id !== '..') expect(ids(await tenant.all(`/v1/agents/${encodeURIComponent(id)}/timeline?${EVER}`))).toEqual([event.event_id]);
    expect(ids(await tenant.all(`/v1/events?${EVER}&agent_id=${encodeURIComponent(id)}`))).toEqual([event.event_id]);
  });

  test('an ARN needs no encoding', async () => {
    const tenant = await service.newTenant();
    const id = 'arn:aws:iam::123837392027:user/bert-jan';
    const event = toolCall({ agent: { id } });
    await tenant.record([event]);
    expect(ids(await tenant.all(`/v1/agents/${id}/timeline?${EVER}`))).toEqual([event.event_id]);
    expect(ids(await tenant.all(`/v1/agents/${encodeURIComponent(id)}/timeline?${EVER}`))).toEqual([event.event_id]);
  });
});

describe('404', () => {
  test('an event that is not there', async () => {
    const tenant = await service.newTenant();
    const answer = await tenant.get('/v1/events/nobody-knows');
    expect(answer.status).toBe(404);
    expect(answer.json()).toMatchObject({ code: 'not_found', status: 404 });
  });

  test('an agent that is not there did nothing', async () => {
    const tenant = await service.newTenant();
    expect((await tenant.page(`/v1/agents/nobody/timeline?${EVER}`)).events).toEqual([]);
  });
});

describe('running', () => {
  test('alive and ready need no key', async () => {
    expect(await service.send('/healthz')).toMatchObject({ status: 200 });
    expect(await service.send('/readyz')).toMatchObject({ status: 200 });
  });

  test('the documents are JSON', async () => {
    const openApi = (await service.send('/openapi.json')).json();
    expect(openApi).toMatchObject({ openapi: expect.stringMatching(/^3\.1/) });
    expect(Object.keys(openApi.paths)).toEqual(expect.arrayContaining(['/v1/events', '/v1/agents/{agent_id}/timeline']));
  });

  test('metrics are for the operator', async () => {
    const answer = await service.get('/metrics');
    expect(answer.status).toBe(200);
    expect(answer.text).toMatch(/^agent_audit_events_total\{result="accepted"\} \d+$/m);
    const tenant = await service.newTenant();
    expect((await tenant.get('/metrics')).status).toBe(403);
    expect((await service.send('/metrics')).status).toBe(401);
  });
});
