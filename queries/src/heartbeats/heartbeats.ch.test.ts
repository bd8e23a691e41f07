import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { at, HOUR, NOON, SECOND, toolCall } from '../../../test/support/events.ts';
import { insertRows, startTestStore, type TestStore } from '../../../test/support/store.ts';
import { completeness, type Completeness } from '../completeness/completeness.ts';
import { putHeartbeats, type StoredHeartbeat } from './put-heartbeats.ts';

let test: TestStore;
let tenant: string;
let tenants = 0;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());
beforeEach(() => {
  tenant = `t-${tenants++}`;
});

const MINUTE = 60n * SECOND;
const us = (minutes: number): bigint => (NOON + BigInt(minutes) * MINUTE) / 1000n;

/** Numbers of one emitter, a minute apart. */
async function record(sequences: readonly number[], instance = ''): Promise<void> {
  await insertRows(test.store, sequences.map((sequence) => ({
    tenant, event: toolCall({ event_id: `${tenant}.${instance}.${sequence}`, time: at(NOON + BigInt(sequence) * MINUTE), agent: { id: 'a', ...(instance === '' ? {} : { instance_id: instance }) }, source: { emitter: 'e', sequence } }),
  })));
}

/** Said at a minute after noon; the next was promised within two. */
async function beat(minute: number, sequence: number | undefined, more: Partial<StoredHeartbeat> = {}): Promise<void> {
  await putHeartbeats(test.store, [{ tenant, emitter: 'e', vantage: undefined, instanceId: undefined, agentId: undefined, atUs: us(minute), dueAtUs: us(minute + 2), sequence, ...more }]);
}

/** From noon and `from` minutes on, as of `now`. */
const ask = (from: number, to: number, now = to, agents?: string[]): Promise<Completeness> =>
  completeness(test.store, tenant, { fromNs: us(from) * 1000n, toNs: us(to) * 1000n }, agents, us(now));
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('a number that was announced', () => {
  it('and never recorded is missing, though no later event shows it; when it arrives, nothing is', async () => {
    await record(range(0, 5));
    expect(await ask(0, 10)).toMatchObject({ status: 'complete' });
    await beat(9, 8);
    expect(await ask(0, 10)).toMatchObject({ status: 'gaps', emitters: [{ emitter: 'e', first: 0, last: 5, seen: [[0, 5]], missing: [[6, 8]], status: 'gaps', heartbeat: { sequence: 8 } }] });
    await record([6, 7]);
    expect(await ask(0, 10)).toMatchObject({ status: 'gaps', emitters: [{ missing: [[8, 8]] }] });
    await record([8]);
    expect(await ask(0, 10)).toMatchObject({ status: 'complete', emitters: [{ first: 0, last: 8, missing: [] }] });
  });

  it('and recorded changes nothing', async () => {
    await record(range(0, 5));
    await beat(3, 3);
    await beat(6, 5);
    expect(await ask(0, 7)).toMatchObject({ status: 'complete', emitters: [{ first: 0, last: 5, missing: [], state: 'active' }] });
    expect(await ask(2, 4)).toMatchObject({ status: 'complete', emitters: [{ first: 2, last: 3, missing: [] }] });
  });

  it('of an emitter of whom nothing was ever recorded', async () => {
    await beat(5, 17);
    await beat(6, 19);
    expect(await ask(0, 7)).toMatchObject({ status: 'gaps', emitters: [{ emitter: 'e', first: undefined, last: undefined, seen: [], missing: [[17, 19]] }] });
  });

  it('of another instance, emitter or tenant says nothing', async () => {
    await record(range(0, 5), 'one');
    await record(range(0, 2), 'two');
    await beat(6, 2, { instanceId: 'two' });
    await putHeartbeats(test.store, [{ tenant: 'another', emitter: 'e', vantage: undefined, instanceId: 'two', agentId: undefined, atUs: us(6), dueAtUs: us(8), sequence: 99 }]);
    expect(await ask(0, 7)).toMatchObject({ status: 'complete', emitters: [{ instance: 'one', missing: [], heartbeat: undefined }, { instance: 'two', missing: [], heartbeat: { sequence: 2 } }] });
    await beat(6, 4, { instanceId: 'two' });
    expect(await ask(0, 7)).toMatchObject({ status: 'gaps', emitters: [{ instance: 'one', missing: [] }, { instance: 'two', missing: [[3, 4]] }] });
  });

  it('by a gateway is of its one counter, whatever instance it names', async () => {
    await record(range(0, 2));
    await beat(4, 3, { vantage: 'gateway', instanceId: 'x' });
    expect(await ask(0, 5)).toMatchObject({ status: 'gaps', emitters: [{ instance: '', missing: [[3, 3]] }] });
  });

  it('up to the greatest', async () => {
    await beat(4, Number.MAX_SAFE_INTEGER);
    expect(await ask(0, 5)).toMatchObject({ emitters: [{ missing: [[Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]] }] });
  });
});

describe('silence', () => {
  it('of an emitter that beats is proven: it is idle', async () => {
    await record(range(0, 5));
    for (const minute of range(6, 180)) await beat(minute, 5);
    expect(await ask(60, 90)).toMatchObject({ status: 'complete', emitters: [{ emitter: 'e', first: undefined, last: undefined, seen: [[5, 5]], missing: [], state: 'idle' }] });
    // Days after, and before.
    expect(await ask(1800, 1900)).toMatchObject({ status: 'unknown', emitters: [] });
    expect(await ask(-90, -60)).toMatchObject({ status: 'unknown', emitters: [] });
  });

  it('of one whose heartbeat is overdue is not', async () => {
    await record(range(0, 5));
    await beat(6, 5);
    expect(await ask(0, 8)).toMatchObject({ status: 'complete', emitters: [{ state: 'active' }] });
    expect(await ask(0, 9)).toMatchObject({ status: 'unknown', emitters: [{ state: 'silent', status: 'unknown', missing: [] }] });
    // A window whose end is still to come is judged as of now.
    expect(await ask(0, 60, 7)).toMatchObject({ status: 'complete' });
    await beat(20, 5);
    expect(await ask(0, 9)).toMatchObject({ status: 'complete', emitters: [{ state: 'active' }] });
    await beat(30, 7);
    expect(await ask(0, 9)).toMatchObject({ status: 'gaps', emitters: [{ missing: [[6, 7]] }] });
  });

  it('that began before the window is told for a day', async () => {
    await record(range(0, 5));
    await beat(6, 6);
    // Another emitter, of whom all is known, must not make it look complete.
    await insertRows(test.store, [{ tenant, event: toolCall({ event_id: `${tenant}.other`, time: at(NOON + 300n * MINUTE), source: { emitter: 'f', sequence: 0 } }) }]);
    expect(await ask(290, 310)).toMatchObject({ status: 'gaps', emitters: [{ emitter: 'e', state: 'silent', missing: [[6, 6]] }, { emitter: 'f', status: 'complete' }] });
    await record([6]);
    expect(await ask(290, 310)).toMatchObject({ status: 'unknown', emitters: [{ emitter: 'e', state: 'silent', status: 'unknown', missing: [] }, { emitter: 'f' }] });
    await beat(7, 6, { dueAtUs: undefined });
    expect(await ask(290, 310)).toMatchObject({ status: 'complete', emitters: [{ emitter: 'f' }] });
  });

  it('between two beats that are far apart is within the promise', async () => {
    await record(range(0, 5));
    await beat(6, 5, { dueAtUs: us(300) });
    expect(await ask(100, 200)).toMatchObject({ status: 'complete', emitters: [{ state: 'idle', seen: [[5, 5]], missing: [] }] });
  });

  it('of one that ended is expected', async () => {
    await record(range(0, 5));
    await beat(6, 5);
    await beat(7, 5, { dueAtUs: undefined });
    expect(await ask(0, 600)).toMatchObject({ status: 'complete', emitters: [{ state: 'stopped', heartbeat: { dueAtUs: undefined } }] });
    // It is back.
    await beat(8, 5);
    expect(await ask(0, 9)).toMatchObject({ status: 'complete', emitters: [{ state: 'active' }] });
    expect(await ask(0, 600)).toMatchObject({ status: 'unknown', emitters: [{ state: 'silent' }] });
  });

  it('of one that says no numbers proves nothing', async () => {
    await beat(6, undefined);
    expect(await ask(0, 7)).toMatchObject({ status: 'unknown', emitters: [{ state: 'idle', status: 'unknown', first: undefined }] });
  });

  it('of an agent is proven by the emitter that speaks for it', async () => {
    await record(range(0, 5));
    await beat(6, 5, { agentId: 'a' });
    expect(await ask(6, 8, 8, ['a'])).toMatchObject({ status: 'complete', emitters: [{ state: 'idle' }] });
    expect(await ask(6, 8, 8, ['b'])).toMatchObject({ status: 'unknown', emitters: [] });
    expect(await ask(4, 8, 8, ['a'])).toMatchObject({ emitters: [{ first: 4, last: 5, heartbeat: { sequence: 5 } }] });
  });
});

it('heartbeats of every second are a row per ten minutes in the end', async () => {
  const beats = range(0, 3599).map((second): StoredHeartbeat => {
    const atUs = us(0) + BigInt(second) * 1_000_000n;
    return { tenant, emitter: 'e', vantage: undefined, instanceId: undefined, agentId: undefined, atUs, dueAtUs: atUs + 2_000_000n, sequence: second };
  });
  await putHeartbeats(test.store, beats.slice(0, 2000));
  await putHeartbeats(test.store, beats);
  const before = await ask(0, 60);
  await test.store.command('OPTIMIZE TABLE heartbeats FINAL');
  const [row] = await test.store.select('SELECT toUInt32(count()) AS n FROM heartbeats WHERE tenant = {tenant: String}', { tenant }, z.object({ n: z.number() }));
  expect(row?.n).toBe(6);
  expect(await ask(0, 60)).toEqual(before);
  expect(before.emitters).toMatchObject([{ missing: [[0, 3599]], heartbeat: { lastAtUs: us(60) - 1_000_000n, dueAtUs: us(60) + 1_000_000n, sequence: 3599 } }]);
});

it('of a record whose hours reach back before 1970 they are none', async () => {
  expect(await completeness(test.store, tenant, { fromNs: -60n * 365n * 24n * HOUR, toNs: 0n }, undefined, us(0))).toMatchObject({ status: 'unknown', emitters: [] });
});
