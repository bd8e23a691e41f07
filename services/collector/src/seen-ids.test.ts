import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/support/random.ts';
import { SeenIds } from './seen-ids.ts';

function add(seen: SeenIds, tenant: string, id: string): boolean {
  const source = Buffer.from(`<${id}>`);
  return seen.add(tenant, source, 1, source.length - 1);
}

describe('SeenIds', () => {
  it('knows what was added, and nothing else', () => {
    const seen = new SeenIds();
    expect(add(seen, 't', 'a')).toBe(true);
    expect(add(seen, 't', 'a')).toBe(false);
    expect(add(seen, 't', 'b')).toBe(true);
    expect(add(seen, 't', 'ab')).toBe(true);
    expect(add(seen, 't', 'A')).toBe(true);
  });

  it('never forgets, over several tables, and takes no new id for a known one', () => {
    const seen = new SeenIds();
    const random = new Random(4);
    const ids = Array.from({ length: 200_000 }, (_, i) => `${i}-${random.int(2 ** 31).toString(36)}`);
    expect(ids.filter((id) => !add(seen, 't', id))).toEqual([]);
    expect(ids.filter((id) => add(seen, 't', id))).toEqual([]);
  });

  it('gives the same answers however much was expected', () => {
    for (const expected of [0, 1, 10_000, 400_000]) {
      const seen = new SeenIds(expected);
      for (let i = 0; i < 100_000; i++) expect(add(seen, 't', `e${i}`)).toBe(true);
      for (let i = 0; i < 100_000; i += 997) expect(add(seen, 't', `e${i}`)).toBe(false);
    }
  });

  it('keeps tenants apart', () => {
    const seen = new SeenIds();
    for (const [tenant, id] of [['t', 'a'], ['u', 'a'], ['ta', ''], ['t', 'aa'], ['tt', 'a'], ['x'.repeat(128), 'a'], ['x'.repeat(127), 'xa']] as const) {
      expect(add(seen, tenant, id), `${tenant} ${id}`).toBe(true);
      expect(add(seen, tenant, id), `${tenant} ${id}`).toBe(false);
    }
    expect(add(seen, 't', 'a')).toBe(false);
  });

  it('takes the longest tenant with the longest id', () => {
    const seen = new SeenIds();
    const [tenant, id] = ['t'.repeat(128), 'e'.repeat(128)];
    expect(add(seen, tenant, id)).toBe(true);
    expect(add(seen, tenant, `${id.slice(0, -1)}f`)).toBe(true);
    expect(add(seen, tenant, id)).toBe(false);
  });

  it('finds its way round the end of a table, and keeps a hash of 0', () => {
    const seen = new SeenIds();
    for (let kept = 0; kept < 50; kept++) expect(seen.addHashes(0xffff_fffe, kept * 2)).toBe(true);
    for (let kept = 0; kept < 50; kept++) expect(seen.addHashes(0xffff_fffe, kept * 2)).toBe(false);
    expect(seen.addHashes(7, 0)).toBe(true);
    expect(seen.addHashes(7, 0)).toBe(false);
  });

  it('learns hashes with ids between, in any order', () => {
    const seen = new SeenIds(0);
    const random = new Random(9);
    const pairs = Array.from({ length: 150_000 }, () => [random.int(2 ** 32), random.int(2 ** 32)] as const);
    pairs.forEach(([place, kept], i) => {
      seen.addHashes(place, kept);
      if (i % 3 === 0) add(seen, 't', `e${i}`);
    });
    expect(pairs.filter(([place, kept]) => seen.addHashes(place, kept))).toEqual([]);
    for (let i = 0; i < pairs.length; i += 3) expect(add(seen, 't', `e${i}`)).toBe(false);
  });
});
