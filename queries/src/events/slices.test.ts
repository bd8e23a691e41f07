import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slices } from './list-events.ts';

const SECOND = 1_000_000_000n;
const window = fc.tuple(fc.bigInt(-2_208_988_800n, 9_223_372_036n), fc.bigInt(1n, 10_000_000_000n))
  .map(([from, seconds]) => ({ fromNs: from * SECOND, toNs: (from + seconds) * SECOND }));

describe('slices', () => {
  it.each(['asc', 'desc'] as const)('cover the rest of the window once, from the end where the page begins: %s', (order) => {
    fc.assert(fc.property(window, fc.option(fc.double({ min: 0, max: 1, noNaN: true })), ({ fromNs, toNs }, place) => {
      const timeNs = place === null ? undefined : fromNs + BigInt(Math.floor(place * Number(toNs - fromNs - 1n)));
      const inside = timeNs !== undefined && timeNs >= fromNs && timeNs < toNs ? timeNs : undefined;
      const after = inside === undefined ? undefined : { timeNs: inside, agentId: 'a', eventId: 'e', taken: 1 };
      const found = [...slices({ fromNs, toNs, order, after })];
      const inTime = order === 'asc' ? found : found.toReversed();
      expect(inTime[0]?.fromNs).toBe(order === 'asc' ? (inside ?? fromNs) : fromNs);
      expect(inTime.at(-1)?.toNs).toBe(order === 'desc' && inside !== undefined ? inside + 1n : toNs);
      inTime.forEach((slice, i) => {
        expect(slice.fromNs).toBeLessThan(slice.toNs);
        if (i > 0) expect(slice.fromNs).toBe(inTime[i - 1]?.toNs);
      });
      expect(found.length).toBeLessThan(12);
    }));
  });
});
