import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/support/random.ts';
import { CuckooTable } from './cuckoo-table.ts';
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

  it('keeps ids that share a place, and a hash of 0', () => {
    const seen = new SeenIds();
    for (let kept = 0; kept < 50; kept++) expect(seen.addHashes(0xffff_ffff, kept * 2)).toBe(true);
    for (let kept = 0; kept < 50; kept++) expect(seen.addHashes(0xffff_ffff, kept * 2)).toBe(false);
    expect(seen.addHashes(7, 0)).toBe(true);
    expect(seen.addHashes(7, 0)).toBe(false);
  });

  it('does not forget ids that were made up to hash to the same two buckets, nor takes much memory for them', () => {
    const sameBuckets = Array.from({ length: 2 ** 24 }, (_, mark) => mark).filter((mark) => mark > 0 && Math.imul(mark, 0x9e37_79b1) >>> 18 === 5);
    const table = new CuckooTable(2 ** 16);
    expect(sameBuckets.filter((mark) => table.insert(99, mark)).length).toBe(8);

    const seen = new SeenIds();
    const before = seen.bytes;
    expect(sameBuckets.filter((mark) => seen.addHashes(99, mark)).length).toBe(9);
    expect(sameBuckets.filter((mark) => seen.addHashes(99, mark))).toEqual([]);
    expect(seen.bytes - before).toBeLessThan(100);
    expect(seen.addHashes(2 ** 31, 1)).toBe(true);
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

  it('starts small and grows by little: of six million, none is forgotten and few are taken for known', () => {
    const random = new Random(12);
    const seen = new SeenIds();
    expect(seen.bytes).toBe(3 * 2 ** 16);
    const count = 6_000_000;
    const places = Uint32Array.from({ length: count }, () => random.int(2 ** 32));
    const kept = Uint32Array.from({ length: count }, () => random.int(2 ** 32));
    let doubtful = 0;
    const perId: number[] = [];
    for (let i = 0; i < count; i++) {
      if (!seen.addHashes(places[i] as number, kept[i] as number)) doubtful++;
      if (i >= 1_000_000 && i % 10_000 === 0) perId.push(seen.bytes / i);
    }
    // 8 slots x 2^-24 in each of at most 11 tables.
    expect(doubtful).toBeLessThan(count * 11 * 8 * 2 ** -24);
    expect(Math.max(...perId)).toBeLessThan(6.4);
    const many = perId.slice(300);
    expect(Math.min(...many)).toBeLessThan(3.2);
    expect(Math.max(...many)).toBeLessThan(4);
    expect(many.reduce((sum, each) => sum + each) / many.length).toBeLessThan(3.7);
    let forgotten = 0;
    for (let i = 0; i < count; i++) if (seen.addHashes(places[i] as number, kept[i] as number)) forgotten++;
    expect(forgotten).toBe(0);
  });

  it('takes 3.2 bytes an id where as many come as were expected', () => {
    const expected = 1_000_000;
    const seen = new SeenIds(expected);
    for (let i = 0; i < expected; i++) add(seen, 't', `e${i}`);
    expect(seen.bytes / expected).toBeLessThan(3.2);
  });
});
