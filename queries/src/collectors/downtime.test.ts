import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { downtimeOf, type Downtime } from './downtime.ts';

const runs = (list: readonly (readonly [number, number])[]): Downtime[] => list.map(([from, to]) => [BigInt(from), BigInt(to)]);

describe('downtimeOf', () => {
  it.each<[string, [number, number][], [number, number], [number, number][]]>([
    ['of a record that no collector is known of', [], [0, 100], []],
    ['before the first run nothing is known', [[50, 100]], [0, 100], []],
    ['between two runs', [[0, 40], [60, 100]], [0, 100], [[40, 60]]],
    ['while another was up', [[0, 40], [30, 70], [60, 100]], [0, 100], []],
    ['while a longer one was up', [[0, 90], [10, 20], [30, 40]], [0, 90], []],
    ['up to the end of the window', [[0, 40]], [0, 100], [[40, 100]]],
    ['only what the window holds of it', [[0, 40], [60, 100]], [50, 55], [[50, 55]]],
    ['outside of the window', [[0, 40], [60, 100]], [70, 100], []],
  ])('%s', (_, list, [from, to], down) => {
    expect(downtimeOf(runs(list), BigInt(from), BigInt(to))).toEqual(runs(down));
  });

  it('is every moment of the window after the first start in which nothing runs', () => {
    const run = fc.tuple(fc.nat(60), fc.nat(20)).map(([from, length]) => [from, from + length] as const);
    fc.assert(fc.property(fc.array(run, { maxLength: 8 }), fc.nat(60), fc.nat(60), (list, a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)];
      const sorted = list.toSorted((x, y) => x[0] - y[0] || x[1] - y[1]);
      const down = downtimeOf(runs(sorted), BigInt(from), BigInt(to));
      for (let t = from; t < to; t++) {
        const up = list.some(([start, end]) => t >= start && t < end);
        const known = list.some(([start]) => start <= t);
        expect(down.some(([start, end]) => BigInt(t) >= start && BigInt(t) < end)).toBe(known && !up);
      }
    }));
  });
});
