import { collectorDowntime, Store } from '@agent-audit/queries';
import { createLog, systemClock, type Clock } from '@agent-audit/shared';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StoreProxy } from '../../../test/support/store-proxy.ts';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import { CollectorRuns } from './collector-runs.ts';

let test: TestStore;
let proxy: StoreProxy;
let store: Store;
beforeAll(async () => {
  test = await startTestStore();
  proxy = await StoreProxy.start(test.options.url);
  store = new Store({ ...test.options, url: proxy.url });
});
afterAll(async () => {
  await store.close();
  await proxy.stop();
  await test[Symbol.asyncDispose]();
});

/** Each test has an hour of its own. */
let hour = 0n;
let second = 0;
const us = (at: number): bigint => (1_700_000_000n + hour * 3600n + BigInt(at)) * 1_000_000n;
const clock: Clock = { nowMicros: () => us(second), monotonicMs: () => second * 1000, sleep: (ms) => systemClock.sleep(ms) };
let takesIn = true;
const collector = (collectorId: string): CollectorRuns => new CollectorRuns({ store, collectorId, clock, log: createLog('silent', 'test'), takesIn: () => takesIn });

/** @param seconds of a hour that no other test uses */
async function look(runs: CollectorRuns, ...seconds: number[]): Promise<void> {
  for (second of seconds) await runs.look();
}

const down = async (from = 0, to = 200): Promise<number[][]> =>
  (await collectorDowntime(test.store, us(from), us(to), 0)).map((interval) => interval.map((at) => Number((at - us(0)) / 1_000_000n)));

it('a crash is down from a little after the last word to the next start', async () => {
  hour++;
  await look(collector('a'), 0, 10, 20);
  await look(collector('a'), 100, 110, 120, 130, 140, 150, 160, 170, 180, 190);
  expect(await down()).toEqual([[40, 100]]);
  expect(await down(50, 60)).toEqual([[50, 60]]);
  expect(await down(110, 120)).toEqual([]);
});

it('a stop is down from that moment', async () => {
  hour++;
  const runs = collector('a');
  await look(runs, 0, 10, 20);
  second = 25;
  await runs.stop();
  await look(collector('a'), 27, 37);
  expect(await down(0, 40)).toEqual([[25, 27]]);
});

it('while another collector is up nothing is down', async () => {
  hour++;
  await look(collector('b'), 0, 30, 60, 90, 120);
  await look(collector('a'), 0, 10);
  await look(collector('a'), 70, 80);
  expect(await down(0, 120)).toEqual([]);
});

it('a collector that refuses events is down', async () => {
  hour++;
  const runs = collector('a');
  await look(runs, 0, 10);
  takesIn = false;
  await look(runs, 20, 30, 40, 50);
  takesIn = true;
  await look(runs, 60, 70);
  expect(await down(0, 80)).toEqual([[30, 60]]);
});

it('one whose ClickHouse is away is not', async () => {
  hour++;
  const runs = collector('a');
  await look(runs, 0, 10);
  proxy.treat = () => 'cut-before';
  await look(runs, 20, 30, 40, 50, 60, 70, 80);
  expect(await down(0, 80)).toEqual([[30, 80]]);
  proxy.treat = () => 'pass';
  await look(runs, 90);
  expect(await down(0, 90)).toEqual([]);
});
