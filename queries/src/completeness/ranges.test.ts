import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { holes, toRuns, type Range } from './ranges.ts';

const numbers = fc.uniqueArray(fc.nat(60), { maxLength: 40 }).map((list) => list.toSorted((a, b) => a - b));

function inside(ranges: readonly Range[]): number[] {
  return ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
}

describe('toRuns', () => {
  it.each<[string, number[], Range[]]>([
    ['nothing', [], []],
    ['one number', [7], [[7, 7]]],
    ['neighbours', [0, 1, 2], [[0, 2]]],
    ['holes', [0, 2, 3, 9], [[0, 0], [2, 3], [9, 9]]],
    ['the largest numbers', [2 ** 53 - 2, 2 ** 53 - 1], [[2 ** 53 - 2, 2 ** 53 - 1]]],
  ])('%s', (_, list, runs) => {
    expect(toRuns(list)).toEqual(runs);
  });

  it('holds the same numbers in as few runs as can be', () => {
    fc.assert(
      fc.property(numbers, (list) => {
        const runs = toRuns(list);
        expect(inside(runs)).toEqual(list);
        runs.forEach(([from], i) => {
          if (i > 0) expect(from).toBeGreaterThan((runs[i - 1] as Range)[1] + 1);
        });
      }),
    );
  });
});

describe('holes', () => {
  it.each<[string, Range[], [number, number], Range[]]>([
    ['nothing recorded', [], [0, 0], []],
    ['one run', [[0, 9]], [0, 9], []],
    ['a hole inside', [[0, 3], [6, 9]], [0, 9], [[4, 5]]],
    ['a hole that touches the first number', [[0, 3], [6, 9]], [6, 9], [[4, 5]]],
    ['a hole that touches the last number', [[0, 3], [6, 9]], [0, 3], [[4, 5]]],
    ['a hole further away', [[0, 3], [6, 9]], [7, 9], []],
    ['what comes before the first number ever is not missing', [[5, 9]], [5, 9], []],
  ])('%s', (_, runs, [first, last], missing) => {
    expect(holes(runs, { first, last })).toEqual(missing);
  });

  it('are the numbers not recorded, between the recorded ones next to the span on both sides', () => {
    fc.assert(
      fc.property(numbers.filter((list) => list.length > 0), fc.nat(), fc.nat(), (list, a, b) => {
        const [first, last] = [list[a % list.length] as number, list[b % list.length] as number].toSorted((x, y) => x - y) as [number, number];
        const recorded = new Set(list);
        const lower = list.findLast((number) => number < first) ?? first;
        const upper = list.find((number) => number > last) ?? last;
        const missing = inside([[lower, upper]]).filter((number) => !recorded.has(number));
        expect(inside(holes(toRuns(list), { first, last }))).toEqual(missing);
      }),
    );
  });
});
