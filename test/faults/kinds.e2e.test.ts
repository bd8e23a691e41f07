import { expect, test } from 'vitest';
import { KINDS } from './kinds.ts';
import { runFaults } from './run.ts';

/*
 * A few cycles of every kind, so that neither the service nor the harness breaks unnoticed. `npm run test:faults` goes on
 * for as long as it is told.
 */

const GROUPS: Readonly<Record<string, readonly string[]>> = {
  kills: ['kill-collector', 'kill-engine', 'kill-both'],
  'stops and hangs': ['stop', 'engine-hangs'],
  clocks: ['clock', 'clock-store-cut'],
  'the way to the store': ['kill-store-away', 'store-away', 'store-cut', 'store-forgets', 'store-slow', 'torn-segment'],
};

test('every kind is in a group', () => {
  expect(Object.values(GROUPS).flat().toSorted()).toEqual(KINDS.map(({ kind }) => kind).toSorted());
});

test.for(Object.entries(GROUPS))('%s', async ([, names]) => {
  const kinds = KINDS.filter(({ kind }) => names.includes(kind));
  const { wrong, ...report } = await runFaults({ cycles: 2 * kinds.length, seed: 31, kinds });
  expect(wrong).toEqual([]);
  expect(report.cycles).toEqual(Object.fromEntries(names.map((name) => [name, 2])));
  expect(report.acknowledged).toBeGreaterThan(0);
  expect(report.refused).toBeGreaterThan(0);
});
