import type { AuditEvent, Completeness } from '@agent-audit/schemas';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { at, between, EVER, HOUR, NOON, SECOND, toolCall } from '../support/events.ts';
import { Random } from '../support/random.ts';
import { lines, startService, type TestService } from '../support/service.ts';
import type { Tenant } from '../support/tenant.ts';

let service: TestService;
let tenant: Tenant;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());
beforeEach(async () => {
  tenant = await service.newTenant();
});

/** One second apart unless told otherwise. */
function numbered(emitter: string, sequence: number, fields: Partial<AuditEvent> = {}): AuditEvent {
  const time = fields.time ?? at(NOON + BigInt(sequence) * SECOND);
  return toolCall({ event_id: `${emitter.replaceAll(/[^a-z0-9]/g, '.')}-${sequence}`, source: { emitter, sequence }, ...fields, time });
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const series = (emitter: string, numbers: readonly number[]): AuditEvent[] => numbers.map((n) => numbered(emitter, n));
const ask = (window: string, agent?: string): Promise<Completeness> =>
  tenant.completeness(agent === undefined ? `/v1/events?${window}` : `/v1/agents/${encodeURIComponent(agent)}/timeline?${window}`);
/** The window that holds the seconds `from` up to `to` after noon, `to` not included. */
const seconds = (from: number, to: number): string => between(NOON + BigInt(from) * SECOND, NOON + BigInt(to) * SECOND);

describe('complete', () => {
  test('where every number between the first and the last is there', async () => {
    await tenant.record(series('gw', range(5, 60)));
    expect(await ask(EVER)).toEqual({
      status: 'complete',
      emitters: [{
        emitter: 'gw', instance_id: null, status: 'complete', first: 5, last: 60, seen: [[5, 60]], missing: [], duplicated: [], restarted: false, state: 'active', heartbeat: null,
      }],
      unnumbered: 0, quarantined: 0, late: 56, conflicts: 0, downtime: [], as_of: expect.stringMatching(/Z$/),
    });
  });

  test('of several emitters', async () => {
    await tenant.record([...series('a', range(1, 20)), ...series('b', range(7, 9)), ...series('ü/c', range(0, 3))]);
    expect(await ask(EVER)).toMatchObject({ status: 'complete', emitters: [{ emitter: 'a', first: 1, last: 20 }, { emitter: 'b', first: 7, last: 9 }, { emitter: 'ü/c', first: 0, last: 3 }] });
  });

  test('an emitter that serves two agents: what the other did is no gap', async () => {
    await tenant.record(range(1, 40).map((n) => numbered('gw', n, { agent: { id: `agent-${(n + 1) % 2}` } })));
    expect(await ask(EVER, 'agent-0')).toMatchObject({ status: 'complete', emitters: [{ emitter: 'gw', first: 1, last: 39, missing: [] }] });
    expect(await ask(EVER, 'agent-1')).toMatchObject({ status: 'complete', emitters: [{ emitter: 'gw', first: 2, last: 40, missing: [] }] });
    expect(await tenant.completeness(`/v1/events?${EVER}&agent_id=agent-1`)).toMatchObject({ status: 'complete', emitters: [{ first: 2, last: 40 }] });
  });

  test('numbers need not follow time', async () => {
    const times = new Random(5).shuffled(range(1, 50));
    await tenant.record(range(1, 50).map((n, i) => numbered('gw', n, { time: at(NOON + BigInt(times[i] as number) * SECOND) })));
    expect(await ask(EVER)).toMatchObject({ status: 'complete', emitters: [{ first: 1, last: 50, missing: [] }] });
  });

  test('over the buckets in which numbers are kept, and at the greatest of all', async () => {
    await tenant.record([...series('gw', range(4000, 4200)), ...range(0, 5).map((n) => numbered('last', Number.MAX_SAFE_INTEGER - n, { time: at(NOON) }))]);
    expect(await ask(EVER)).toMatchObject({
      status: 'complete',
      emitters: [{ emitter: 'gw', first: 4000, last: 4200, missing: [] }, { emitter: 'last', first: Number.MAX_SAFE_INTEGER - 5, last: Number.MAX_SAFE_INTEGER, missing: [] }],
    });
  });

  test('duplicates do not matter', async () => {
    const events = series('gw', range(1, 10));
    await tenant.record(events);
    await tenant.post(...lines([...events, ...events]));
    expect(await ask(EVER)).toMatchObject({ status: 'complete', late: 10, conflicts: 0, emitters: [{ first: 1, last: 10, missing: [] }] });
  });

  test('a number of another tenant fills no gap', async () => {
    const other = await service.newTenant();
    await tenant.record(series('gw', [1, 3]));
    await other.record(series('gw', [2]));
    expect(await ask(EVER)).toMatchObject({ status: 'gaps', emitters: [{ missing: [[2, 2]] }] });
    expect(await other.completeness(`/v1/events?${EVER}`)).toMatchObject({ status: 'complete', emitters: [{ first: 2, last: 2, missing: [] }] });
  });

  test('a filter hides events, not gaps', async () => {
    await tenant.record([1, 2, 4].map((n) => numbered('gw', n, { tool: { name: n === 1 ? 'a' : 'b' } })));
    expect(await tenant.completeness(`/v1/events?${EVER}&tool=a`)).toMatchObject({ status: 'gaps', emitters: [{ first: 1, last: 4, missing: [[3, 3]] }] });
  });

  test('is said on every page, of the whole window', async () => {
    await tenant.record(series('gw', [1, 2, 3, 5]));
    for await (const { completeness } of tenant.pages(`/v1/events?${EVER}`, 1)) {
      expect(completeness).toMatchObject({ status: 'gaps', emitters: [{ first: 1, last: 5, missing: [[4, 4]] }] });
    }
  });

  test('what is in quarantine is counted by the time of receipt, whatever numbers prove', async () => {
    const now = BigInt(Date.now()) * 1_000_000n;
    await tenant.record(range(1, 3).map((n) => numbered('gw', n, { time: at(now - BigInt(10 - n) * SECOND) })));
    expect(await ask('from=-1h')).toMatchObject({ status: 'complete', quarantined: 0 });
    expect((await tenant.post(JSON.stringify([{}, { a: 1 }]))).status).toBe(422);
    expect(await ask('from=-1h')).toMatchObject({ status: 'complete', quarantined: 2, emitters: [{ missing: [] }] });
    expect(await ask(seconds(0, 10))).toMatchObject({ quarantined: 0 });
    const other = await service.newTenant();
    expect(await other.completeness('/v1/events?from=-1h')).toMatchObject({ quarantined: 0 });
  });
});

describe('gaps', () => {
  test('one', async () => {
    await tenant.record(series('gw', [...range(1, 9), ...range(13, 20)]));
    expect(await ask(EVER)).toMatchObject({ status: 'gaps', emitters: [{ emitter: 'gw', first: 1, last: 20, missing: [[10, 12]] }] });
  });

  test('at one of several emitters', async () => {
    await tenant.record([...series('a', range(1, 5)), ...series('b', [1, 2, 4, 5, 9])]);
    expect(await ask(EVER)).toMatchObject({ status: 'gaps', emitters: [{ emitter: 'a', missing: [] }, { emitter: 'b', missing: [[3, 3], [6, 8]] }] });
  });

  test('healed in part by what arrives late', async () => {
    await tenant.record(series('gw', [1, 2, 5]));
    expect(await ask(EVER)).toMatchObject({ status: 'gaps', emitters: [{ missing: [[3, 4]] }] });
    await tenant.record(series('gw', [4]));
    expect(await ask(EVER)).toMatchObject({ status: 'gaps', emitters: [{ missing: [[3, 3]] }] });
  });

  test('healed by what arrives late', async () => {
    await tenant.record(series('gw', [1, 2, 5]));
    expect(await ask(EVER)).toMatchObject({ status: 'gaps', emitters: [{ missing: [[3, 4]] }] });
    await tenant.record(series('gw', [4]));
    await tenant.record(series('gw', [3]));
    expect(await ask(EVER)).toMatchObject({ status: 'complete', emitters: [{ first: 1, last: 5, missing: [] }] });
  });

  test('larger than a bucket', async () => {
    await tenant.record(series('gw', [1, 2, 20_000, 20_001]));
    expect(await ask(EVER)).toMatchObject({ status: 'gaps', emitters: [{ first: 1, last: 20_001, missing: [[3, 19_999]] }] });
  });

  test('up to the greatest number', async () => {
    await tenant.record([numbered('gw', 0), numbered('gw', Number.MAX_SAFE_INTEGER, { time: at(NOON) })]);
    expect(await ask(EVER)).toMatchObject({ status: 'gaps', emitters: [{ first: 0, last: Number.MAX_SAFE_INTEGER, missing: [[1, Number.MAX_SAFE_INTEGER - 1]] }] });
  });

  test('an event that was rejected is missing', async () => {
    const [a, b, c] = series('gw', [1, 2, 3]);
    const answer = await tenant.post(...lines([a as AuditEvent, JSON.stringify({ ...b, kind: 'x' }), c as AuditEvent]));
    expect(answer.json()).toMatchObject({ accepted: 2 });
    await tenant.visible([a, c] as AuditEvent[]);
    expect(await ask(EVER)).toMatchObject({ status: 'gaps', quarantined: 1, emitters: [{ missing: [[2, 2]] }] });
  });
});

describe('a window in the middle', () => {
  test('tells the first and last of the window, also within an hour', async () => {
    await tenant.record(series('gw', range(1, 100)));
    expect(await ask(seconds(10, 20))).toMatchObject({ status: 'complete', emitters: [{ first: 10, last: 19, missing: [] }] });
    expect(await ask(seconds(10, 11))).toMatchObject({ status: 'complete', emitters: [{ first: 10, last: 10, missing: [] }] });
    expect(await ask(seconds(200, 300))).toMatchObject({ status: 'unknown', emitters: [] });
  });

  test('what is missing at its edges may have happened inside: it is told', async () => {
    await tenant.record(series('gw', [...range(1, 9), ...range(12, 19), ...range(22, 30)]));
    // Known neighbours outside the window: 9 before, 22 behind.
    expect(await ask(seconds(12, 20))).toMatchObject({ status: 'gaps', emitters: [{ first: 12, last: 19, missing: [[10, 11], [20, 21]] }] });
    // With neighbours on both sides there, nothing is missing.
    expect(await ask(seconds(13, 19))).toMatchObject({ status: 'complete', emitters: [{ first: 13, last: 18, missing: [] }] });
    expect(await ask(seconds(2, 9))).toMatchObject({ status: 'complete', emitters: [{ first: 2, last: 8, missing: [] }] });
    expect(await ask(seconds(2, 10))).toMatchObject({ status: 'gaps', emitters: [{ first: 2, last: 9, missing: [[10, 11]] }] });
  });

  test('exactly on and around full hours, and over many hours', async () => {
    // One event every ten minutes for ten hours; number 36 is missing.
    const step = 600n * SECOND;
    const numbers = range(0, 60).filter((n) => n !== 36);
    await tenant.record(numbers.map((n) => numbered('gw', n, { time: at(NOON + BigInt(n) * step) })));
    for (const [from, to] of [[0, 6], [0, 12], [1, 7], [5, 7], [6, 12], [7, 11], [1, 59], [6, 60], [37, 61], [37, 43], [12, 30]] as const) {
      for (const [a, b] of [[0n, 0n], [1n, 0n], [0n, 1n], [-1n, -1n], [1n, 1n]] as const) {
        const window = between(NOON + BigInt(from) * step + a, NOON + BigInt(to) * step + b);
        const inside = numbers.filter((n) => BigInt(n) * step >= BigInt(from) * step + a && BigInt(n) * step < BigInt(to) * step + b);
        const touches = inside.some((n) => n < 36) && inside.some((n) => n > 36) || inside.includes(35) || inside.includes(37);
        expect({ window, ...(await ask(window)) }).toMatchObject({
          window, status: touches ? 'gaps' : 'complete', emitters: [{ first: inside[0], last: inside.at(-1), missing: touches ? [[36, 36]] : [] }],
        });
      }
    }
  });

  test('counts late arrivals and conflicts of the window only', async () => {
    await tenant.record(series('gw', range(1, 10)));
    await tenant.post(...lines([1, 2, 3].map((n) => numbered('gw', n, { action: 'delete' }))));
    expect(await ask(seconds(2, 5))).toMatchObject({ late: 5, conflicts: 2 });
    expect(await ask(seconds(5, 8))).toMatchObject({ late: 3, conflicts: 0 });
  });
});

describe('times far away', () => {
  // A service of its own: once, such times of one tenant harmed what all others were told.
  let far: TestService;
  beforeAll(async () => {
    far = await startService();
  });
  afterAll(() => far.stop());

  // ClickHouse's DateTime begins in 1970 and ends in 2106; hours of that type wrap around outside.
  test.each([['1900', '1900-01-02T00:00:00Z'], ['1969', '1969-12-31T20:00:00Z'], ['2150', '2150-06-01T00:00:00Z']])('whole hours in %s', async (_, start) => {
    tenant = await far.newTenant();
    const first = BigInt(Date.parse(start)) * 1_000_000n;
    await tenant.record(range(0, 20).map((n) => numbered('gw', n, { time: at(first + BigInt(n) * 600n * SECOND) })));
    expect(await ask(between(first, first + 3n * HOUR))).toMatchObject({ status: 'complete', emitters: [{ first: 0, last: 17, missing: [] }] });
  });

  // A granule that held such a time too was left out, because its hours did not rise with its times.
  test.each(['1900-01-02T00:00:00Z', '2150-06-01T00:00:00Z'])('an event of %s beside others does not hide them', async (time) => {
    tenant = await far.newTenant();
    await tenant.record([numbered('odd', 1, { time }), ...range(0, 40).map((n) => numbered('gw', n, { time: at(NOON + BigInt(n) * 600n * SECOND) }))]);
    for (let n = 0; n < 20; n++) {
      expect(await ask(between(NOON + BigInt(n) * 600n * SECOND, NOON + BigInt(n + 18) * 600n * SECOND))).toMatchObject({ status: 'complete', emitters: [{ emitter: 'gw', first: n, last: n + 17 }] });
    }
  });
});

describe('unknown', () => {
  test('nothing at all', async () => {
    expect(await ask(EVER)).toMatchObject({ status: 'unknown', emitters: [] });
  });

  test('without a sequence, with or without an emitter', async () => {
    await tenant.record([toolCall(), toolCall({ source: { emitter: 'gw' } })]);
    expect(await ask(EVER)).toMatchObject({ status: 'unknown', emitters: [] });
  });

  test('one event without a sequence among many with one', async () => {
    await tenant.record([...series('gw', range(1, 10)), toolCall({ time: at(NOON + 5n * SECOND) })]);
    expect(await ask(EVER)).toMatchObject({ status: 'unknown', unnumbered: 1, emitters: [{ emitter: 'gw', missing: [] }] });
    expect(await ask(seconds(6, 11))).toMatchObject({ status: 'complete' });
  });

  test('a gap weighs more than what is unknown', async () => {
    await tenant.record([...series('gw', [1, 3]), toolCall()]);
    expect(await ask(EVER)).toMatchObject({ status: 'gaps' });
  });
});

describe('as a slow and obvious computation has it', () => {
  interface Sent {
    readonly emitter: string;
    readonly sequence: number | undefined;
    readonly time: bigint;
    readonly agent: string;
  }

  /** The numbers of each emitter that was heard in the window, and the holes between all that it ever sent. */
  function obvious(all: readonly Sent[], from: bigint, to: bigint, agent: string | undefined): object {
    const inside = all.filter((one) => one.time >= from && one.time < to && (agent === undefined || one.agent === agent));
    const names = [...new Set(inside.filter(({ sequence }) => sequence !== undefined).map(({ emitter }) => emitter))].toSorted();
    const emitters = names.map((emitter) => {
      const own = inside.flatMap((one) => (one.emitter === emitter && one.sequence !== undefined ? [one.sequence] : []));
      const [first, last] = [Math.min(...own), Math.max(...own)];
      const sent = new Set(all.flatMap((one) => (one.emitter === emitter && one.sequence !== undefined ? [one.sequence] : [])));
      const [least, greatest] = [Math.min(...sent), Math.max(...sent)];
      const missing: [number, number][] = [];
      for (let n = least; n <= greatest; n++) {
        if (sent.has(n)) continue;
        const end = missing.at(-1);
        if (end !== undefined && end[1] === n - 1) end[1] = n;
        else missing.push([n, n]);
      }
      return { emitter, first, last, missing: missing.filter(([a, b]) => b >= first - 1 && a <= last + 1) };
    });
    const proven = inside.length > 0 && inside.every(({ sequence }) => sequence !== undefined);
    return { status: emitters.some(({ missing }) => missing.length > 0) ? 'gaps' : proven ? 'complete' : 'unknown', emitters };
  }

  test.each([11, 12, 13])('seed %i', async (seed) => {
    const random = new Random(seed);
    const all: Sent[] = [];
    for (let e = 0; e < 3; e++) {
      const base = random.pick([0, 4090, 100_000]);
      const loss = random.pick([0, 0.02, 0.2]);
      for (let n = 0; n < 60; n++) {
        if (random.chance(loss)) continue;
        all.push({ emitter: `e${e}`, sequence: base + n, time: NOON + BigInt(n) * 300n * SECOND + BigInt(random.int(600)) * SECOND, agent: `agent-${random.int(3)}` });
      }
    }
    if (random.chance(0.5)) all.push({ emitter: 'e0', sequence: undefined, time: NOON + HOUR, agent: 'agent-0' });
    await tenant.record(random.shuffled(all).map(({ emitter, sequence, time, agent }) =>
      toolCall({ time: at(time), agent: { id: agent }, source: sequence === undefined ? { emitter } : { emitter, sequence } })));
    for (let round = 0; round < 25; round++) {
      const from = NOON + BigInt(random.int(18_000)) * SECOND;
      const to = from + 1n + BigInt(random.int(random.pick([60, 3600, 18_000]))) * SECOND;
      const agent = random.pick([undefined, 'agent-0', 'agent-1', 'agent-9']);
      const { status, emitters: said } = await ask(between(from, to), agent);
      const emitters = said.map(({ emitter, first, last, missing }) => ({ emitter, first, last, missing }));
      expect({ from, to, agent, status, emitters }).toEqual({ from, to, agent, ...obvious(all, from, to, agent) });
    }
  });
});
