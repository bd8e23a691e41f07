import type { AuditEvent } from '@agent-audit/schemas';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DAY, inOrder } from '../support/events.ts';
import { FILTER_VALUES, matches, randomEvent } from '../support/random-events.ts';
import { Random } from '../support/random.ts';
import { startService, type TestService } from '../support/service.ts';
import { ids, type Tenant } from '../support/tenant.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const not = (one: readonly [string, string] | undefined) => [`-${one?.[0]}`, one?.[1] ?? ''] as const;

describe('filters', () => {
  let tenants: { tenant: Tenant; events: AuditEvent[] }[];

  beforeAll(async () => {
    const random = new Random(1);
    tenants = [];
    for (let i = 0; i < 2; i++) {
      const tenant = await service.newTenant();
      // The same ids and the same few times in both tenants.
      const events = Array.from({ length: 300 }, (_, n) => randomEvent(random, `e-${n}`, 40));
      await tenant.record(random.shuffled(events));
      tenants.push({ tenant, events: inOrder(events) });
    }
  });

  type Asked = readonly (readonly [name: string, value: string])[];
  const query = (asked: Asked): string => asked.map(([name, value]) => `&${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('');

  /** Repeated: or. Different: and. With `-`: none of them. */
  function expected(events: readonly AuditEvent[], asked: Asked): string[] {
    const groups = Map.groupBy(asked, ([name]) => name);
    return events.filter((event) => [...groups].every(([name, values]) =>
      name.startsWith('-') ? !values.some(([, value]) => matches(event, name.slice(1), value)) : values.some(([, value]) => matches(event, name, value)),
    )).map(({ event_id: id }) => id);
  }

  async function check(asked: Asked): Promise<void> {
    for (const { tenant, events } of tenants) {
      const want = expected(events, asked);
      expect(ids(await tenant.all(`/v1/events?${DAY}${query(asked)}`))).toEqual(want);
    }
  }

  test.each(Object.keys(FILTER_VALUES))('%s: every value, positive and negative', async (name) => {
    const values = FILTER_VALUES[name] as readonly string[];
    await Promise.all(values.flatMap((value) => [check([[name, value]]), check([[`-${name}`, value]])]));
  });

  test.each(Object.keys(FILTER_VALUES))('%s: repeated is or, positive and negative', async (name) => {
    const values = FILTER_VALUES[name] as readonly string[];
    const [a, b, c] = new Random(8).some(values, 3).map((value) => [name, value] as const);
    if (a === undefined || b === undefined) throw new Error('too few values');
    await check([a, b]);
    await check([not(a), not(b)]);
    await check([a, b, not(b)]);
    await check([a, a]);
    if (c !== undefined) await check([a, b, c, not(a)]);
  });

  test('any combination', async () => {
    const random = new Random(9);
    const names = Object.keys(FILTER_VALUES);
    let found = 0;
    for (let round = 0; round < 25; round++) {
      const asked = random.some(names, 1 + random.int(4)).flatMap((name) => {
        const values = random.some(FILTER_VALUES[name] as readonly string[], 1 + random.int(4));
        const sign = random.chance(0.4) ? '-' : '';
        return values.map((value) => [`${sign}${name}`, value] as const);
      });
      await check(random.shuffled(asked));
      found += expected(tenants[0]?.events ?? [], asked).length > 0 ? 1 : 0;
    }
    // Otherwise this would show little.
    expect(found).toBeGreaterThan(8);
  });

  test('all filters at once', async () => {
    const event = tenants[0]?.events.find((one) => one.tool?.server && one.resources?.some(({ classifications }) => classifications?.length) && one.on_behalf_of?.length && one.session_id && one.trace_id && one.network?.destination_ip);
    if (event === undefined) throw new Error('no event has everything');
    const asked = Object.entries(FILTER_VALUES).map(([name, values]) => [name, values.find((value) => matches(event, name, value)) as string] as const);
    expect(expected([event], asked)).toHaveLength(1);
    await check(asked);
  });

  test('the timeline takes the same filters, and is that of one agent', async () => {
    for (const { tenant, events } of tenants) {
      for (const agent of FILTER_VALUES['agent_id'] as readonly string[]) {
        const own = events.filter((event) => event.agent.id === agent);
        const path = `/v1/agents/${encodeURIComponent(agent)}/timeline?${DAY}`;
        expect(ids(await tenant.all(path))).toEqual(own.map(({ event_id: id }) => id));
        const asked: Asked = [['-outcome', 'success'], ['kind', 'tool_call']];
        expect(ids(await tenant.all(`${path}${query(asked)}`))).toEqual(expected(own, asked));
      }
    }
  });

  test('pages with filters, in both orders', async () => {
    const asked: Asked = [['-action', 'read'], ['outcome', 'success'], ['outcome', 'denied'], ['outcome', 'timeout']];
    for (const { tenant, events } of tenants) {
      const want = expected(events, asked);
      for (const limit of [7, 100]) {
        expect(ids(await tenant.all(`/v1/events?${DAY}${query(asked)}`, limit))).toEqual(want);
        expect(ids(await tenant.all(`/v1/events?${DAY}${query(asked)}&order=desc`, limit))).toEqual(want.toReversed());
      }
    }
  });

  test('500 values of one filter', async () => {
    const { tenant, events } = tenants[0] as (typeof tenants)[0];
    const asked: Asked = [['tool', 'read'], ...Array.from({ length: 499 }, (_, i) => ['tool', `other-${i}`] as const)];
    expect(ids(await tenant.all(`/v1/events?${DAY}${query(asked)}`))).toEqual(expected(events, asked));
  });

});
