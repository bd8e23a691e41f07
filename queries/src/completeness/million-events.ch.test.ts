import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { at, HOUR, NOON, SECOND } from '../../../test/support/events.ts';
import { Random } from '../../../test/support/random.ts';
import { insertRows, startTestStore, type TestRow, type TestStore } from '../../../test/support/store.ts';
import { markCopies } from '../marks/mark-copies.ts';
import { completeness, type Completeness } from './completeness.ts';
import { joined, type Range } from './ranges.ts';

const SEED = 20_261_122;
const EMITTERS = 50;
const EVENTS = 1_000_000;
const GAPS = 10;
const EACH = EVENTS / EMITTERS;
const BATCH = 50_000;

/** One life of an emitter: it counts from `start`. A gateway has one counter, and its agents' instances say nothing. */
interface Run {
  readonly emitter: string;
  readonly agent: string;
  readonly instance: string;
  readonly gateway: boolean;
  readonly start: number;
  readonly count: number;
  /** Of its first event, among all events of the emitter. */
  readonly offset: number;
  readonly missing: Range[];
}

function runsOf(random: Random): Run[] {
  return Array.from({ length: EMITTERS }, (_, e) => {
    const gateway = e % 5 === 0;
    const cuts = gateway ? [] : Array.from({ length: random.int(4) }, () => 500 + random.int(EACH - 1000)).toSorted((a, b) => a - b).filter((cut, i, all) => cut !== all[i - 1]);
    return [0, ...cuts].map((offset, i, all): Run => ({
      emitter: `emitter-${e}`, agent: `agent-${e % 20}`, gateway, offset, count: (all[i + 1] ?? EACH) - offset, missing: [],
      instance: gateway ? '' : `run-${i}`, start: random.pick([0, 1, 4090]),
    }));
  }).flat();
}

/** Ten, at random places, each between two events that arrive. */
function cutGaps(random: Random, runs: readonly Run[]): void {
  for (let cut = 0; cut < GAPS; ) {
    const run = random.pick(runs);
    const length = random.pick([1, 2, 37, 500, 6000]);
    if (run.count < length + 2) continue;
    const from = run.start + 1 + random.int(run.count - length - 1);
    if (run.missing.some(([a, b]) => from <= b + 1 && from + length >= a)) continue;
    run.missing.push([from, from + length - 1]);
    cut++;
  }
}

function rowOf(run: Run, place: number, receivedAfterS: number): TestRow {
  const { emitter, agent, instance, gateway, start, offset } = run;
  const sequence = start + place;
  const timeNs = NOON + (BigInt(offset + place) * 24n * HOUR) / BigInt(EACH);
  const seen = gateway ? `session-${place % 9}` : instance;
  const event = `{"event_id":"${emitter}.${offset}.${sequence}","time":"${at(timeNs)}","kind":"tool_call","agent":{"id":"${agent}","instance_id":"${seen}"},"tool":{"name":"t"},"action":"query",`
    + `"outcome":{"status":"success"},"source":{"emitter":"${emitter}","sequence":${sequence}${gateway ? ',"vantage":"gateway"' : ''}}}`;
  return { event, receivedAtMicros: Number(timeNs / SECOND) * 1_000_000 + receivedAfterS * 1_000_000 };
}

describe('ten gaps in a million events of fifty emitters', () => {
  const random = new Random(SEED);
  const runs = runsOf(random);
  cutGaps(random, runs);
  const lost: TestRow[] = [];
  const window = { fromNs: NOON, toNs: NOON + 24n * HOUR };
  const nowUs = (NOON + 48n * HOUR) / 1000n;
  let test: TestStore;
  let late = 0;

  beforeAll(async () => {
    test = await startTestStore();
    const tardy: TestRow[] = [];
    const repeats: TestRow[] = [];
    let batch: TestRow[] = [];
    const insert = async (rows: TestRow[]): Promise<void> => void (await insertRows(test.store, random.shuffled(rows)));
    // In the order in which they happened, as far as an insert goes; some arrive an hour later, some again through another collector.
    const cursors = Array.from({ length: EMITTERS }, (_, e) => ({ own: runs.filter(({ emitter }) => emitter === `emitter-${e}`), run: 0, place: 0 }));
    for (let i = 0; i < EVENTS; i++) {
      const cursor = cursors[i % EMITTERS] as (typeof cursors)[number];
      const run = cursor.own[cursor.run] as Run;
      const { place } = cursor;
      if (++cursor.place === run.count) [cursor.run, cursor.place] = [cursor.run + 1, 0];
      const isLost = run.missing.some(([from, to]) => run.start + place >= from && run.start + place <= to);
      const isLate = !isLost && random.chance(0.02);
      const row = rowOf(run, place, isLost || isLate ? 3600 : 0);
      if (isLate) late++;
      (isLost ? lost : isLate ? tardy : batch).push(row);
      if (!isLost && random.chance(0.002)) repeats.push({ ...row, collectorId: 'c2' });
      if (batch.length >= BATCH) {
        await insert(batch);
        batch = [];
      }
    }
    for (const rows of [batch, tardy, repeats]) await insert(rows);
    const ids = repeats.map(({ event }) => (JSON.parse(event as string) as { event_id: string }).event_id);
    expect((await markCopies(test.store, 't', ids)).size).toBe(repeats.length);
  }, 120_000);
  afterAll(() => test[Symbol.asyncDispose]());

  const ask = (agents?: readonly string[]): Promise<Completeness> => completeness(test.store, 't', window, agents, nowUs);

  const expected = (healed: boolean, of: readonly Run[] = runs): unknown[] =>
    of.toSorted((a, b) => Buffer.compare(Buffer.from(`${a.emitter}\n${a.instance}`), Buffer.from(`${b.emitter}\n${b.instance}`))).map((run) => {
      const missing = healed ? [] : run.missing.toSorted((a, b) => a[0] - b[0]);
      const [first, last] = [run.start, run.start + run.count - 1];
      const edges = [first, ...missing.flatMap(([from, to]) => [from - 1, to + 1]), last];
      return {
        emitter: run.emitter, instance: run.instance, status: missing.length > 0 ? 'gaps' : 'complete', first, last, missing,
        seen: joined(Array.from({ length: edges.length / 2 }, (_, i) => [edges[2 * i] as number, edges[2 * i + 1] as number])),
        duplicated: [], restarted: run.offset > 0, state: 'active', heartbeat: undefined,
      };
    });

  it('are reported exactly, with restarts, repeats and late arrivals among them', async () => {
    const { status, emitters, unnumbered } = await ask();
    expect(runs.flatMap(({ missing }) => missing)).toHaveLength(GAPS);
    expect(runs.some(({ offset }) => offset > 0)).toBe(true);
    expect(emitters).toEqual(expected(false));
    expect({ status, unnumbered }).toEqual({ status: 'gaps', unnumbered: 0 });
  });

  it('are reported of the agents that are asked for', async () => {
    const agent = runs.find(({ missing }) => missing.length > 0)?.agent as string;
    const { status, emitters } = await ask([agent]);
    expect(emitters).toEqual(expected(false, runs.filter((run) => run.agent === agent)));
    expect(status).toBe('gaps');
  });

  it('vanish when the missing events arrive', async () => {
    expect((await ask()).late).toBe(late);
    await insertRows(test.store, random.shuffled(lost));
    const { status, emitters, late: tardy } = await ask();
    expect(emitters).toEqual(expected(true));
    expect({ status, tardy }).toEqual({ status: 'complete', tardy: late + lost.length });
  });
});
