import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/support/random.ts';
import { CuckooTable } from './cuckoo-table.ts';

const MARK_MAX = 2 ** 24 - 1;

type Pair = readonly [place: number, mark: number];

const has = (table: CuckooTable) => ([place, mark]: Pair) => table.has(place, mark);

function randomPairs(random: Random, count: number): Pair[] {
  return Array.from({ length: count }, () => [random.int(2 ** 32), 1 + random.int(MARK_MAX)]);
}

describe('CuckooTable', () => {
  it('keeps every pair that it took, whatever the pairs and however full it is', () => {
    const place = fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1));
    const mark = fc.oneof(fc.integer({ min: 1, max: MARK_MAX }), fc.integer({ min: 1, max: 40 }), fc.constantFrom(0xff, 0xff00, 0xff_0000, MARK_MAX));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.array(fc.tuple(place, mark), { minLength: 1, maxLength: 90 }), (slots, pairs) => {
        const table = new CuckooTable(slots);
        const taken: Pair[] = [];
        for (const pair of pairs) {
          if (table.has(...pair)) continue;
          if (table.insert(...pair)) taken.push(pair);
          else expect(table.has(...pair)).toBe(false);
          expect(taken.filter((each) => !table.has(...each))).toEqual([]);
          expect(table.used).toBe(taken.length);
        }
        expect(table.used).toBeLessThanOrEqual(table.slots);
      }),
      { numRuns: 500 },
    );
  });

  it('loses and invents nothing when it is asked for more than it has room for', () => {
    const random = new Random(1);
    for (const slots of [4, 20, 1000, 20_000]) {
      const table = new CuckooTable(slots);
      const pairs = randomPairs(random, slots * 1.5);
      const taken = pairs.filter((pair) => table.insert(...pair));
      expect(taken.length).toBeLessThan(pairs.length);
      expect(taken.length).toBeLessThanOrEqual(table.slots);
      expect(taken.every(has(table))).toBe(true);
      expect(pairs.filter(has(table)).length).toBeLessThan(taken.length + 3);
    }
  });

  it('has room up to 95 % of its slots', () => {
    const random = new Random(2);
    for (const slots of [2 ** 16, 100_000, 2 ** 20]) {
      const table = new CuckooTable(slots);
      const pairs = randomPairs(random, Math.floor(table.slots * 0.95));
      expect(pairs.filter((pair) => !table.insert(...pair))).toEqual([]);
      expect(pairs.every(has(table))).toBe(true);
    }
  });

  it('takes three bytes a slot', () => {
    for (const slots of [1, 4, 5, 1000]) {
      const table = new CuckooTable(slots);
      expect(table.slots).toBe(4 * Math.ceil(slots / 4));
      expect(table.bytes).toBe(3 * table.slots);
    }
  });
});
