import type { AuditEvent } from '@agent-audit/schemas';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { at, HOUR, NOON, SECOND, toolCall } from '../../../test/support/events.ts';
import { Random } from '../../../test/support/random.ts';
import { insertRows, startTestStore, type TestRow, type TestStore } from '../../../test/support/store.ts';
import { until } from '../../../test/support/until.ts';
import type { EventWindow } from '../events/list-events.ts';
import { markCopies } from '../marks/mark-copies.ts';
import { encodeQuarantine } from '../quarantine/quarantine-block.ts';
import { migrate } from '../migrate.ts';
import { Store, type Params } from '../store.ts';
import { completeness, type Completeness, type EmitterStatement } from './completeness.ts';
import { emittersByHours, emittersByRows, emittersInWindow } from './emitters-in-window.ts';
import { keyOf } from './instance.ts';
import type { Range } from './ranges.ts';
import { sequences } from './sequences.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());

interface Known {
  readonly timeNs: bigint;
  readonly agent: string;
  readonly emitter: string | undefined;
  readonly instance: string;
  readonly sequence: number | undefined;
  readonly flags: number;
}

let ids = 0;

/** An event that says what is known, and the flags that its time brings. A gateway says which agent's instance it saw, too. */
function rowOf(known: Known, tenant: string): TestRow & { readonly event: AuditEvent } {
  const { timeNs, agent, emitter, instance, sequence, flags } = known;
  const vantage = instance === '' && ids % 2 === 0 ? { vantage: 'gateway' as const } : {};
  const agentInstance = instance !== '' ? { instance_id: instance } : 'vantage' in vantage ? { instance_id: `seen-${ids % 7}` } : {};
  const source = emitter === undefined ? {} : { source: { emitter, ...vantage, ...(sequence === undefined ? {} : { sequence }) } };
  const receivedAtMicros = Number(timeNs / 1_000_000_000n) * 1_000_000 + ((flags & 1) === 1 ? 1_000_000_000 : 0);
  const event = toolCall({ event_id: `c-${ids++}`, time: at(timeNs), agent: { id: agent, ...(emitter === undefined ? {} : agentInstance) }, ...source });
  return { event, tenant, flags: flags & 4, receivedAtMicros };
}

const bySecond = <T>([, a]: [unknown, T], [, b]: [unknown, T]): number => (a < b ? -1 : a > b ? 1 : 0);

/** What is to be answered, obviously. Conflicts of tests are of other events, so none of them repeats a number. */
function naive(all: readonly Known[], { fromNs, toNs }: EventWindow, agents: readonly string[] | undefined): Omit<Completeness, 'quarantined' | 'downtime'> {
  const seen = all.filter(({ timeNs, agent }) => timeNs >= fromNs && timeNs < toNs && (agents === undefined || agents.includes(agent)));
  const numbered = seen.filter(({ sequence }) => sequence !== undefined);
  const isOf = (key: string) => (known: Known) => known.sequence !== undefined && keyOf(known as Known & { emitter: string }) === key;
  const keys = [...new Set(numbered.map((known) => keyOf(known as Known & { emitter: string })))].toSorted();
  const began = new Map([...Map.groupBy(numbered, ({ emitter }) => emitter)].map(([emitter, own]) => [emitter, own.map(({ timeNs }) => [0, timeNs] as [number, bigint]).toSorted(bySecond)[0]?.[1]]));
  const emitters = keys.map((key): EmitterStatement => {
    const own = numbered.filter(isOf(key));
    const { emitter, instance } = own[0] as Known & { emitter: string };
    const [first, last] = [Math.min(...own.map(({ sequence }) => sequence as number)), Math.max(...own.map(({ sequence }) => sequence as number))];
    const ever = all.filter(isOf(key)).map(({ sequence }) => sequence as number).toSorted((a, b) => a - b);
    const recorded = [...new Set(ever)];
    const missing: Range[] = [];
    const runs: [number, number][] = [];
    const twice: [number, number][] = [];
    const add = (to: [number, number][], number: number): void => {
      const run = to.at(-1);
      if (run !== undefined && run[1] === number - 1) run[1] = number;
      else to.push([number, number]);
    };
    recorded.forEach((number, i) => {
      const before = recorded[i - 1];
      if (before !== undefined && number > before + 1 && number >= first && before <= last) missing.push([before + 1, number - 1]);
      if (number < first || number > last) return;
      add(runs, number);
      if (all.filter(isOf(key)).filter(({ sequence, flags }) => sequence === number && (flags & 4) === 0).length > 1) add(twice, number);
    });
    return {
      emitter, instance, status: missing.length > 0 ? 'gaps' : twice.length > 0 ? 'unknown' : 'complete', first, last, seen: runs, missing, duplicated: twice,
      restarted: own.map(({ timeNs }) => [0, timeNs] as [number, bigint]).toSorted(bySecond)[0]?.[1] !== began.get(emitter), state: 'active', heartbeat: undefined,
    };
  });
  const gaps = emitters.some(({ status }) => status === 'gaps');
  return {
    status: gaps ? 'gaps' : emitters.length > 0 && numbered.length === seen.length && emitters.every(({ status }) => status === 'complete') ? 'complete' : 'unknown',
    emitters,
    unnumbered: seen.length - numbered.length,
    late: seen.filter(({ flags }) => (flags & 1) === 1).length,
    conflicts: seen.filter(({ flags }) => (flags & 4) === 4).length,
  };
}

const AGENTS = ['agent:a', 'agent:b', 'agent:c'];
const NOW_US = NOON / 1000n;

/**
 * Emitters whose counters start far up, and leave out single numbers and more than a bucket. One starts again now and
 * then, one uses a number twice.
 */
function randomHistory(random: Random, count: number, start: bigint, span: bigint): Known[] {
  const begin = new Map([['e1', 0], ['e2', 4090], ['e3', 2 ** 40], ['e4', 7], ['e5', 4080], ['e6', 4093]]);
  const next = new Map(begin);
  let runs = 1;
  const recorded: Known[] = [];
  for (let i = 0; i < count; i++) {
    const emitter = random.chance(0.05) ? undefined : random.pick([...next.keys(), 'none']);
    if (emitter === 'e5' && random.chance(0.1)) {
      next.set('e5', begin.get('e5') as number);
      runs++;
    }
    let sequence = emitter === undefined ? undefined : next.get(emitter);
    if (emitter !== undefined && sequence !== undefined) {
      if (emitter !== 'e6' || random.chance(0.9)) next.set(emitter, sequence + 1);
      if (random.chance(0.1)) next.set(emitter, sequence + 1 + random.pick([1, 2, 100, 4096, 9000, 20_000]));
      if (emitter === 'e4' && random.chance(0.2)) sequence = undefined;
    }
    const step = (span / BigInt(count)) * BigInt(i);
    const flags = (random.chance(0.1) ? 1 : 0) | (emitter !== 'e6' && random.chance(0.1) ? 4 : 0);
    recorded.push({ timeNs: start + step + BigInt(random.int(1_000_000_000)), agent: random.pick(AGENTS), emitter, instance: emitter === 'e5' ? `run-${runs}` : '', sequence, flags });
  }
  return recorded;
}

async function compareWindows(tenant: string, all: readonly Known[], windows: readonly EventWindow[], random: Random): Promise<void> {
  for (const window of windows) {
    for (const agents of [undefined, [random.pick(AGENTS)], random.some(AGENTS, 2)]) {
      const { quarantined, downtime, ...answer } = await completeness(test.store, tenant, window, agents, NOW_US);
      expect({ quarantined, downtime }).toEqual({ quarantined: 0, downtime: [] });
      // Few rows are never asked of the projection by themselves.
      expect(await emittersByHours(test.store, tenant, window, agents)).toEqual(await emittersByRows(test.store, tenant, window, agents, 1_000_000));
      expect(answer, `${at(window.fromNs)} to ${at(window.toNs)}, ${String(agents)}`).toEqual(naive(all, window, agents));
    }
  }
}

function randomWindows(random: Random, count: number, start: bigint, span: bigint): EventWindow[] {
  const moment = (): bigint => {
    const ns = start + BigInt(Math.floor(random.next() * Number(span)));
    return random.chance(0.4) ? ns - (ns % HOUR) : ns;
  };
  return Array.from({ length: count }, () => {
    const [fromNs, toNs] = [moment(), moment()].toSorted((a, b) => (a < b ? -1 : 1)) as [bigint, bigint];
    return { fromNs, toNs };
  });
}

describe('completeness', () => {
  it.each([
    ['over hours', 1, NOON, 12n * HOUR],
    ['inside an hour', 2, NOON + 60n * SECOND, 1800n * SECOND],
    ['over days', 3, NOON - 100n * HOUR, 200n * HOUR],
  ])('is what a naive computation says, %s', async (name, seed, start, span) => {
    const random = new Random(seed);
    const tenant = `random-${name.replaceAll(' ', '-')}`;
    const all = randomHistory(random, 400, start, span);
    const segments = Map.groupBy(all, () => random.int(3));
    for (const segment of segments.values()) await insertRows(test.store, segment.map((known) => rowOf(known, tenant)));
    await compareWindows(tenant, all, [...randomWindows(random, 12, start, span), { fromNs: start - HOUR, toNs: start + span + HOUR }], random);
  });

  it.each([
    ['before 1970', 4, -60n * HOUR * 24n * 365n, 9n * HOUR], ['about 1970', 5, -5n * HOUR, 10n * HOUR], ['after 2106', 6, NOON + 90n * HOUR * 24n * 365n, 9n * HOUR],
  ])('is what a naive computation says, %s', async (name, seed, start, span) => {
    const random = new Random(seed);
    const tenant = `random-${name.replaceAll(' ', '-')}`;
    const all = randomHistory(random, 200, start, span).map((known) => Object.assign(known, { flags: known.flags & 4 }));
    await insertRows(test.store, all.map((known) => rowOf(known, tenant)));
    await compareWindows(tenant, all, [...randomWindows(random, 6, start, span), { fromNs: start - HOUR, toNs: start + span + HOUR }], random);
  });

  // toUnixTimestamp64Second cuts towards zero, so what happened before 1970 in the last second of an hour counts for the
  // next one. Without overflow: intDiv(toUInt64(toUnixTimestamp64Nano(time)) + 2208988800000000000, 3600000000000).
  it('before 1970 takes the last moment of an hour for that hour', async () => {
    const hour = -20n * 365n * 24n * HOUR;
    const known = [hour - 1n, hour - SECOND / 2n, hour, hour + 1n].map((timeNs, sequence) => ({ timeNs, agent: 'a', emitter: 'e', instance: '', sequence, flags: 0 }));
    await insertRows(test.store, known.map((each) => rowOf(each, 'edge')));
    const span = async (fromNs: bigint, toNs: bigint): Promise<unknown> => (await emittersInWindow(test.store, 'edge', { fromNs, toNs }, undefined)).map(({ first, last, events }) => [first, last, events]);
    expect(await span(hour, hour + HOUR)).toEqual([[2, 3, 2]]);
    expect(await span(hour - HOUR, hour)).toEqual([[0, 1, 2]]);
    expect(await span(hour - HOUR, hour + HOUR)).toEqual([[0, 3, 4]]);
  });

  it('before 1970 is right inside an hour', async () => {
    const random = new Random(8);
    const start = -60n * HOUR * 24n * 365n + 60n * SECOND;
    const all = randomHistory(random, 100, start, 1800n * SECOND).map((known) => Object.assign(known, { flags: known.flags & 4 }));
    await insertRows(test.store, all.map((known) => rowOf(known, 'old')));
    await compareWindows('old', all, randomWindows(random, 8, start, 1800n * SECOND), random);
  });

  describe('copies', () => {
    const tenant = 'copied';
    const random = new Random(9);
    const all = randomHistory(random, 100, NOON, 3n * HOUR);
    const windows = [...randomWindows(random, 4, NOON, 3n * HOUR), { fromNs: NOON, toNs: NOON + 4n * HOUR }];

    beforeAll(async () => {
      const rows = all.map((known) => rowOf(known, tenant));
      await insertRows(test.store, rows);
      await insertRows(test.store, random.shuffled(rows).slice(0, 60).map((row) => Object.assign({}, row, { collectorId: 'c2' })));
    });

    it('do not change what is missing', async () => {
      for (const window of windows) {
        const { status, emitters } = await completeness(test.store, tenant, window, undefined, NOW_US);
        expect({ status, emitters }).toMatchObject({ status: naive(all, window, undefined).status, emitters: naive(all, window, undefined).emitters });
      }
    });

    it('are not counted once they were noticed, however often', async () => {
      const ids = await test.store.select('SELECT DISTINCT event_id FROM events WHERE tenant = {tenant: String}', { tenant }, z.object({ event_id: z.string() }));
      for (let times = 0; times < 2; times++) expect((await markCopies(test.store, tenant, ids.map((row) => row.event_id))).size).toBe(60);
      await compareWindows(tenant, all, windows, random);
    });
  });

  it('of an empty window is unknown', async () => {
    expect(await completeness(test.store, 'nobody', { fromNs: NOON, toNs: NOON + HOUR }, undefined, NOW_US)).toEqual({
      status: 'unknown', emitters: [], unnumbered: 0, quarantined: 0, late: 0, conflicts: 0, downtime: [],
    });
    expect(await completeness(test.store, 'copied', { fromNs: NOON, toNs: NOON }, undefined, NOW_US)).toMatchObject({ status: 'unknown', emitters: [] });
  });

  it('counts what was refused in the window, of this tenant, by time of receipt', async () => {
    const micros = NOON / 1000n;
    const rows = [-1n, 0n, 5n, 3_600_000_000n].map((offset, i) => ({
      tenant: 'refused', quarantineId: `00000000-0000-0000-0000-00000000000${i}`, receivedAtMicros: micros + offset,
      collectorId: 'c1', origin: 'http:k', eventId: '', errors: [], raw: Buffer.from('x'),
    }));
    const { columnNames, block } = encodeQuarantine([...rows, { ...(rows[1] as (typeof rows)[0]), tenant: 'another' }]);
    await test.store.insertNative('quarantine', columnNames, block, 'refused');
    const refused = async (fromNs: bigint, toNs: bigint): Promise<number> => (await completeness(test.store, 'refused', { fromNs, toNs }, undefined, NOW_US)).quarantined;
    expect(await refused(NOON, NOON + HOUR)).toBe(2);
    expect(await refused(NOON - HOUR, NOON)).toBe(1);
    expect(await refused(NOON - HOUR, NOON + 2n * HOUR)).toBe(4);
    // Outwards, to the microsecond.
    expect(await refused(NOON + 1n, NOON + 2n)).toBe(1);
  });
});

describe('sequences', () => {
  const tenant = 'far';
  // A hole of more than a bucket behind 10, of more than 10,000 before the first number of the span, and one behind it.
  const numbers = [10, 5000, 20_000, 20_001, 20_003, 90_000, 2 ** 53 - 2, 2 ** 53 - 1];

  beforeAll(async () => {
    const rows = numbers.map((sequence, i) => rowOf({ timeNs: NOON + BigInt(i), agent: 'a', emitter: 'e', instance: '', sequence, flags: 0 }, tenant));
    await insertRows(test.store, [...rows, rowOf({ timeNs: NOON, agent: 'a', emitter: 'other', instance: '', sequence: 15_000, flags: 0 }, tenant), rowOf({ timeNs: NOON, agent: 'a', emitter: 'e', instance: '', sequence: 16_000, flags: 0 }, 'another')]);
  });

  it.each<[number, number, Range[]]>([
    [20_000, 20_003, [[5001, 19_999], [20_002, 20_002], [20_004, 89_999]]],
    [20_001, 20_001, [[20_002, 20_002]]],
    [20_000, 20_000, [[5001, 19_999]]],
    [10, 10, [[11, 4999]]],
    [5000, 5000, [[11, 4999], [5001, 19_999]]],
    [90_000, 90_000, [[20_004, 89_999], [90_001, 2 ** 53 - 3]]],
    [2 ** 53 - 1, 2 ** 53 - 1, []],
    [10, 2 ** 53 - 1, [[11, 4999], [5001, 19_999], [20_002, 20_002], [20_004, 89_999], [90_001, 2 ** 53 - 3]]],
  ])('between %i and %i, up to the nearest recorded numbers however far', async (first, last, missing) => {
    expect((await sequences(test.store, tenant, [{ emitter: 'e', instance: '', first, last }])).get(keyOf({ emitter: 'e', instance: '' }))?.missing).toEqual(missing);
  });

  it('of several emitters at once, far apart', async () => {
    const spans = [{ emitter: 'other', first: 15_000, last: 15_000 }, { emitter: 'e', first: 90_000, last: 90_000 }, { emitter: 'unheard', first: 0, last: 3 }];
    const found = await sequences(test.store, tenant, spans.map((span) => ({ ...span, instance: '' })));
    expect([...found.values()].map(({ missing }) => missing)).toEqual([[], [[20_004, 89_999], [90_001, 2 ** 53 - 3]], []]);
  });

  it('of no emitter', async () => {
    expect([...(await sequences(test.store, tenant, []))]).toEqual([]);
  });

  // ClickHouse takes at most 128 KiB of one parameter (http_max_field_value_size).
  it('of as many emitters as a tenant may have', async () => {
    const spans = Array.from({ length: 1000 }, (_, i) => ({ emitter: `${'e'.repeat(250)}-${i}`, instance: 'ü'.repeat(512), first: 0, last: 0 }));
    expect((await sequences(test.store, tenant, spans)).size).toBe(1000);
  });
});

describe('numbers used twice', () => {
  const window = { fromNs: NOON, toNs: NOON + HOUR };
  const use = (tenant: string, sequences: readonly number[], collectorId = 'c1', id = 'a'): TestRow[] =>
    sequences.map((sequence, i) => ({ tenant, collectorId, event: toolCall({ event_id: `${id}-${sequence}`, time: at(NOON + BigInt(i)), source: { emitter: 'e', sequence } }) }));
  /** The first and the sixth number of more buckets than are looked into. */
  const spread = Array.from({ length: 70 }, (_, i) => [i * 4096, i * 4096 + 5]).flat();

  it('are told exactly, and where there are very many by their buckets', async () => {
    await insertRows(test.store, [...use('twice', spread), ...use('twice', spread.filter((n) => n % 4096 === 0), 'c1', 'b')]);
    const [emitter] = (await completeness(test.store, 'twice', window, undefined, NOW_US)).emitters;
    const range = (i: number): Range => (i < 32 ? [i * 4096, i * 4096] : [i * 4096, i * 4096 + 5]);
    expect(emitter?.duplicated).toEqual(Array.from({ length: 70 }, (_, i) => range(i)));
  });

  it('by copies and conflicts of the same event, which are none', async () => {
    await insertRows(test.store, [...use('copies', spread), ...use('copies', spread, 'c2'), ...use('copies', spread.slice(0, 9)).map((row) => Object.assign(row, { flags: 4 }))]);
    await markCopies(test.store, 'copies', spread.map((sequence) => `a-${sequence}`));
    expect((await completeness(test.store, 'copies', window, undefined, NOW_US)).emitters).toMatchObject([{ duplicated: [] }]);
  });

  it('by copies that were not noticed yet are looked for among the events', async () => {
    await insertRows(test.store, [...use('unmarked', [1, 2, 3]), ...use('unmarked', [2, 3], 'c2')]);
    expect(await completeness(test.store, 'unmarked', window, undefined, NOW_US)).toMatchObject({ status: 'complete', emitters: [{ duplicated: [] }] });
  });
});

it('of events that were there before instances were known is right, and made of the projections', async () => {
  const options = { ...test.options, database: 'older' };
  await migrate(options);
  const store = new Store(options);
  try {
    for (const name of ['instance_hours', 'instance_sequences']) await store.command(`ALTER TABLE events DROP PROJECTION ${name} SETTINGS mutations_sync = 2`);
    const known = [1, 2, 4, 1, 2, 3].map((sequence, i) => ({ timeNs: NOON + BigInt(i), agent: 'a', emitter: 'e', instance: i < 3 ? 'one' : 'two', sequence, flags: 0 }));
    await insertRows(store, known.map((each) => rowOf(each, 'older')));
    await store.command("ALTER TABLE schema_migrations DELETE WHERE name LIKE '0006%' SETTINGS mutations_sync = 2");
    expect(await migrate(options)).toEqual(['0006_emitter_instances.sql']);
    const unfinished = async (): Promise<unknown[]> => store.select('SELECT mutation_id FROM system.mutations WHERE database = currentDatabase() AND NOT is_done', {}, z.object({ mutation_id: z.string() }));
    await until(unfinished, (left) => left.length === 0);
    const parts = await store.select("SELECT DISTINCT name FROM system.projection_parts WHERE active AND database = currentDatabase() AND table = 'events'", {}, z.object({ name: z.string() }));
    expect(parts.map(({ name }) => name).toSorted()).toEqual(['instance_hours', 'instance_sequences']);
    const window = { fromNs: NOON - HOUR, toNs: NOON + HOUR };
    expect((await completeness(store, 'older', window, undefined, NOW_US)).emitters).toMatchObject([{ instance: 'one', missing: [[3, 3]] }, { instance: 'two', missing: [] }]);
    expect(await emittersByHours(store, 'older', window, undefined)).toEqual(await emittersByRows(store, 'older', window, undefined, 1000));
  } finally {
    await store.close();
  }
});

interface Statement {
  readonly sql: string;
  readonly params: Params;
  readonly settings: Parameters<Store['select']>[3];
}

/** What a query asks the store, without asking. */
async function asked(run: (store: Store) => Promise<unknown>): Promise<Statement[]> {
  const statements: Statement[] = [];
  const recording = { select: async (sql: string, params: Params, _row: unknown, settings: Statement['settings']) => (statements.push({ sql, params, settings }), []) };
  await run(recording as unknown as Store);
  return statements;
}

async function planOf({ sql, params, settings }: Statement): Promise<string> {
  const plan = await test.store.select(`EXPLAIN projections = 1 ${sql}`, params, z.object({ explain: z.string() }), settings);
  return plan.map(({ explain }) => explain).join('\n');
}

describe('the plan', () => {
  beforeAll(async () => {
    const rows = Array.from({ length: 12_000 }, (_, i) => rowOf({ timeNs: NOON + BigInt(i) * SECOND * 20n, agent: `agent:${i % 5}`, emitter: `e${i % 3}`, instance: '', sequence: i, flags: 0 }, 'big'));
    await insertRows(test.store, rows);
  });

  const window = { fromNs: NOON + SECOND, toNs: NOON + 60n * HOUR + SECOND };

  it.each([['of all agents', undefined], ['of one', ['agent:1']]])('of a big window %s uses instance_hours', async (_, agents) => {
    const [statement] = await asked((store) => emittersByHours(store, 'big', window, agents));
    expect(await planOf(statement as Statement)).toContain('instance_hours');
  });

  it('of more rows than a limit is refused before they are read, and made another way', async () => {
    await expect(emittersByRows(test.store, 'big', window, undefined, 2048)).rejects.toMatchObject({ code: 158 });
    expect(await emittersInWindow(test.store, 'big', window, undefined)).toEqual(await emittersByHours(test.store, 'big', window, undefined));
  });

  it('of the gaps uses instance_sequences', async () => {
    const statements = await asked((store) => sequences(store, 'big', [{ emitter: 'e1', instance: '', first: 100, last: 9000 }]));
    expect(statements).toHaveLength(2);
    for (const statement of statements) expect(await planOf(statement)).toContain('instance_sequences');
  });
});
