import type { AuditEvent } from '@agent-audit/schemas';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { at, NOON, SECOND, toolCall } from '../../../test/support/events.ts';
import { FILTER_VALUES, matches, randomEvent } from '../../../test/support/random-events.ts';
import { Random } from '../../../test/support/random.ts';
import { insertRows, RECEIVED_AT, startTestStore, type TestRow, type TestStore } from '../../../test/support/store.ts';
import type { FilterName, Filters } from './filters.ts';
import { listEvents, listEventsSql, slices, type ListEvents, type Order, type Position } from './list-events.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());

const EVER = { fromNs: NOON - 3600n * SECOND, toNs: NOON + 3600n * SECOND };

/** Every page from the first to the last, as the bytes of what it shows. */
async function pages(query: Omit<ListEvents, 'after' | 'fromNs' | 'toNs'> & Partial<ListEvents>): Promise<string[][]> {
  const all: string[][] = [];
  let after: Position | undefined;
  do {
    const page = await listEvents(test.store, { ...EVER, ...query, after });
    expect(page.events.length).toBeLessThanOrEqual(query.limit);
    all.push(page.events.map(({ raw }) => raw));
    after = page.next;
    if (all.length > 500) throw new Error('the pages do not end');
  } while (after !== undefined);
  return all;
}

/** A total order of strings by their bytes, as the engine has it. */
const compare = (a: string | bigint | number, b: string | bigint | number): number => (a < b ? -1 : a > b ? 1 : 0);

interface Known {
  readonly row: TestRow & { readonly event: AuditEvent };
  readonly raw: string;
}

/** What all pages together must show, obviously: by time, agent and id; under one key, each text once and the first recorded first. */
function expected(rows: readonly Known[], order: Order): string[] {
  const sign = order === 'asc' ? 1 : -1;
  const sorted = rows.toSorted(
    ({ row: a }, { row: b }) =>
      sign * compare(a.event.time, b.event.time) || sign * compare(a.event.agent.id, b.event.agent.id) || sign * compare(a.event.event_id, b.event.event_id) ||
      compare(a.receivedAtMicros ?? 0, b.receivedAtMicros ?? 0) || compare(a.collectorId ?? '', b.collectorId ?? '') || compare(a.logIndex ?? 0, b.logIndex ?? 0),
  );
  return [...new Set(sorted.map(({ raw }) => raw))];
}

describe('paging over copies, conflicts and events of one moment', () => {
  const tenant = 'mixed';
  const known: Known[] = [];

  function plan(event: AuditEvent, collectorId: string, offset: number): Known {
    return { row: { event, tenant, collectorId, logIndex: known.length, receivedAtMicros: RECEIVED_AT + offset }, raw: JSON.stringify(event) };
  }

  beforeAll(async () => {
    const random = new Random(7);
    for (let i = 0; i < 40; i++) {
      // Six moments for 40 events of three agents.
      const event = toolCall({ event_id: `e-${random.int(50)}`, time: at(NOON + BigInt(random.int(6))), agent: { id: `agent:${random.int(3)}` }, attributes: { i } });
      const versions = [event];
      // The same time, agent and id, and other bytes.
      while (random.chance(0.3)) versions.push({ ...event, attributes: { i, version: versions.length } });
      for (const version of versions) for (let copy = 0; copy < 1 + random.int(3); copy++) known.push(plan(version, `c${random.int(2)}`, random.int(4)));
    }
    // One group of more rows than any of the pages below has.
    const crowd = toolCall({ event_id: 'crowd', time: at(NOON + 3n), agent: { id: 'agent:1' } });
    for (let i = 0; i < 12; i++) known.push(plan({ ...crowd, attributes: { crowd: i % 7 } }, 'c1', i));
    for (let i = 0; i < 15; i++) known.push(plan({ ...crowd, event_id: 'copied' }, 'c1', i));
    const segments = Map.groupBy(known, () => random.int(4));
    for (const segment of segments.values()) await insertRows(test.store, segment.map(({ row }) => row));
    await insertRows(test.store, [{ event: toolCall({ time: at(NOON) }), tenant: 'somebody-else' }]);
  });

  for (const order of ['asc', 'desc'] as const) {
    it.each([1, 3, 5, 10, 50, 1000])(`shows each event once, ${order}, %i to a page`, async (limit) => {
      const shown = (await pages({ tenant, filters: {}, order, limit })).flat();
      expect(shown).toEqual(expected(known, order));
    });

    it.each([2, 7])(`shows each event of one agent once, ${order}, %i to a page`, async (limit) => {
      const shown = (await pages({ tenant, filters: { agent_id: { any: ['agent:1'], none: [] } }, order, limit })).flat();
      expect(shown).toEqual(expected(known.filter(({ row }) => row.event.agent.id === 'agent:1'), order));
    });
  }

  it('keeps to the window: from is in it, to is not', async () => {
    const window = { fromNs: NOON + 1n, toNs: NOON + 3n };
    const inside = known.filter(({ row }) => row.event.time >= at(window.fromNs) && row.event.time < at(window.toNs));
    expect((await pages({ tenant, filters: {}, order: 'desc', limit: 4, ...window })).flat()).toEqual(expected(inside, 'desc'));
    expect((await pages({ tenant, filters: {}, order: 'asc', limit: 4, fromNs: NOON + 2n, toNs: NOON + 2n })).flat()).toEqual([]);
  });

  it('shows no tenant the events of another', async () => {
    expect((await pages({ tenant: 'somebody-else', filters: {}, order: 'asc', limit: 10 })).flat()).toHaveLength(1);
    expect((await pages({ tenant: 'nobody', filters: {}, order: 'asc', limit: 10 })).flat()).toEqual([]);
  });
});

describe('one group with more rows than a page', () => {
  it.each([1, 2, 3, 4, 100])('ends with %i to a page', async (limit) => {
    const tenant = `crowd${limit}`;
    const event = toolCall({ time: at(NOON) });
    const rows = Array.from({ length: 9 }, (_, i) => ({ event: { ...event, attributes: { i } }, tenant, logIndex: i }));
    await insertRows(test.store, [...rows, ...rows]);
    for (const order of ['asc', 'desc'] as const) {
      // Under one key, always in the order of recording.
      expect((await pages({ tenant, filters: {}, order, limit })).flat()).toEqual(rows.map((row) => JSON.stringify(row.event)));
    }
  });

  it('of nothing but copies shows one and ends', async () => {
    const event = toolCall({ time: at(NOON) });
    await insertRows(test.store, Array.from({ length: 40 }, (_, i) => ({ event, tenant: 'copies', logIndex: i })));
    expect((await pages({ tenant: 'copies', filters: {}, order: 'asc', limit: 1 })).flat()).toEqual([JSON.stringify(event)]);
  });

  it('says that there is no next page where the last one is just full', async () => {
    const rows = [0, 1, 2, 3].map((i) => ({ event: toolCall({ time: at(NOON + BigInt(i)) }), tenant: 'full' }));
    await insertRows(test.store, rows);
    expect((await pages({ tenant: 'full', filters: {}, order: 'asc', limit: 2 })).map((page) => page.length)).toEqual([2, 2]);
    expect((await pages({ tenant: 'full', filters: {}, order: 'desc', limit: 4 })).map((page) => page.length)).toEqual([4]);
  });
});

describe('a long window', () => {
  const tenant = 'long';
  const YEAR = 365n * 24n * 3600n * SECOND;
  const window = { fromNs: NOON - 120n * YEAR, toNs: NOON + 120n * YEAR };
  const known: Known[] = [];

  beforeAll(async () => {
    const random = new Random(5);
    for (let i = 0; i < 60; i++) {
      // Close together and far apart, on both sides of the cuts.
      const ns = NOON + random.pick([-1n, 0n, 1n, 24n * 3600n * SECOND, 9n * 24n * 3600n * SECOND, -YEAR, YEAR, -100n * YEAR, 100n * YEAR]) + BigInt(random.int(3) - 1);
      const event = toolCall({ time: at(ns), agent: { id: `agent:${random.int(2)}` } });
      for (let copy = 0; copy <= random.int(2); copy++) known.push({ row: { event, tenant, logIndex: known.length }, raw: JSON.stringify(event) });
    }
    await insertRows(test.store, known.map(({ row }) => row));
  });

  it.each([['asc', 1], ['asc', 4], ['asc', 100], ['desc', 1], ['desc', 4], ['desc', 100]] as const)('is shown whole, %s, %i to a page', async (order, limit) => {
    expect((await pages({ tenant, filters: {}, order, limit, ...window })).flat()).toEqual(expected(known, order));
  });

  it.each(['asc', 'desc'] as const)('is cut into slices that cover it without overlap, %s', (order) => {
    for (const [fromNs, toNs] of [[0n, 1n], [-5n, 5n], [NOON, NOON], [window.fromNs, window.toNs], [0n, 86_400_000_000_000n], [0n, 86_400_000_000_001n]] as const) {
      const cut = [...slices({ fromNs, toNs, order })];
      const inOrder = order === 'asc' ? cut : cut.toReversed();
      expect(inOrder.every((slice, i) => slice.fromNs === (inOrder[i - 1]?.toNs ?? fromNs) && slice.fromNs < slice.toNs)).toBe(true);
      if (fromNs < toNs) expect(inOrder.at(-1)?.toNs).toBe(toNs);
      else expect(cut).toEqual([]);
      expect(cut.length).toBeLessThan(12);
    }
  });
});

describe('filters', () => {
  const tenant = 'filtered';
  const events: AuditEvent[] = [];

  beforeAll(async () => {
    const random = new Random(11);
    for (let i = 0; i < 150; i++) events.push(randomEvent(random, `f-${i}`, 40));
    await insertRows(test.store, events.map((event) => ({ event, tenant })));
  });

  const found = async (filters: Filters): Promise<string[]> =>
    (await listEvents(test.store, { ...EVER, tenant, filters, order: 'asc', limit: 1000 })).events.map(({ event_id: id }) => id).toSorted();

  it.each(Object.keys(FILTER_VALUES) as FilterName[])('%s: any, none, and both', async (name) => {
    const values = FILTER_VALUES[name] as readonly string[];
    const some = (list: readonly string[]) => (event: AuditEvent) => list.some((value) => matches(event, name, value));
    const ids = (keep: (event: AuditEvent) => boolean): string[] => events.filter(keep).map(({ event_id: id }) => id).toSorted();
    for (const value of values) {
      expect(await found({ [name]: { any: [value], none: [] } }), value).toEqual(ids(some([value])));
    }
    const [first, second, third] = values as [string, string, string];
    expect(await found({ [name]: { any: [], none: [first] } })).toEqual(ids((event) => !some([first])(event)));
    if (values.length > 1) expect(await found({ [name]: { any: [first, second], none: [] } })).toEqual(ids(some([first, second])));
    if (values.length > 2) {
      expect(await found({ [name]: { any: [first, second], none: [second, third] } })).toEqual(ids((event) => some([first, second])(event) && !some([second, third])(event)));
    }
    expect(await found({ [name]: { any: [], none: [] } })).toHaveLength(events.length);
  });

  it('joins different filters with and', async () => {
    const random = new Random(3);
    for (let i = 0; i < 15; i++) {
      const names = random.some(Object.keys(FILTER_VALUES), 2) as [FilterName, FilterName];
      const filters: Filters = Object.fromEntries(names.map((name) => [name, { any: random.some(FILTER_VALUES[name] ?? [], 3), none: [] }]));
      const matching = events.filter((event) => names.every((name) => filters[name]?.any.some((value) => matches(event, name, value))));
      expect(await found(filters), JSON.stringify(filters)).toEqual(matching.map(({ event_id: id }) => id).toSorted());
    }
  });

  it('binds values, whatever is in them', async () => {
    const hostile = ["'", "\\'", "') OR 1=1 --", '{tenant: String}', '\\', '\t\n', '%', '🦉', ''];
    for (const name of Object.keys(FILTER_VALUES) as FilterName[]) {
      if (name === 'resource_prefix') continue;
      expect(await found({ [name]: { any: hostile, none: [] } }), name).toHaveLength(name === 'session_id' || name === 'trace_id' || name === 'server' || name === 'tool' || name === 'destination' ? events.filter((event) => isEmpty(event, name)).length : 0);
    }
  });

  it('takes as many values as fit into 128 KiB', async () => {
    const many = Array.from({ length: 6_000 }, (_, i) => `agent:none-${i}`);
    expect(await found({ agent_id: { any: [...many, 'agent:a'], none: [] } })).toEqual(events.filter((event) => event.agent.id === 'agent:a').map(({ event_id: id }) => id).toSorted());
  });
});

/** What an event does not say is the empty text in its column. */
function isEmpty(event: AuditEvent, name: FilterName): boolean {
  switch (name) {
    case 'session_id': return event.session_id === undefined;
    case 'trace_id': return event.trace_id === undefined;
    case 'server': return event.tool?.server === undefined;
    case 'tool': return event.tool === undefined;
    default: return event.network?.destination_host === undefined || event.network.destination_ip === undefined;
  }
}

const AFTER = { timeNs: NOON, agentId: 'agent:1', eventId: 'e-1', taken: 1 };

async function planOf(order: Order, position?: Position): Promise<string> {
  const { sql, params } = listEventsSql({ ...EVER, tenant: 'mixed', filters: { agent_id: { any: ['agent:1'], none: [] } }, order, limit: 100, ...(position === undefined ? {} : { after: position }) });
  const plan = await test.store.select(`EXPLAIN PLAN actions = 1 ${sql}`, params, z.object({ explain: z.string() }));
  return plan.map(({ explain }) => explain).join('\n');
}

describe('the plan', () => {
  it.each([
    ['first', 'asc', 'Read type: InOrder', undefined], ['first', 'desc', 'Read type: InReverseOrder', undefined], ['later', 'asc', 'Read type: InOrder', AFTER],
  ] as const)("of a timeline's %s page reads in the order of the primary key, %s", async (_, order, type, position) => {
    expect(await planOf(order, position)).toContain(type);
  });

  it('of a page finds its rows by the primary key', async () => {
    const { sql, params } = listEventsSql({ ...EVER, tenant: 'mixed', filters: { agent_id: { any: ['agent:1'], none: [] } }, order: 'asc', limit: 100 });
    const plan = await test.store.select(`EXPLAIN indexes = 1 ${sql}`, params, z.object({ explain: z.string() }));
    const text = plan.map(({ explain }) => explain.trim()).join(' ');
    expect(text).toMatch(/PrimaryKey.*Keys:.*tenant.*agent_id.*time/);
  });
});
