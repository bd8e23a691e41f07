import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inclusionProof, leafHash, nodeHash, rootOf, verifyInclusion, type Hash } from './merkle.ts';
import { entriesPath, nodesFrom, parseTilePath, tileAt, tilePath, tilesSince, type Tile } from './tiles.ts';

describe('paths', () => {
  it.each<[Tile, string]>([
    [{ level: 0, index: 0, width: 256 }, 'tile/0/000'],
    [{ level: 0, index: 1_234_067, width: 256 }, 'tile/0/x001/x234/067'],
    [{ level: 63, index: 999, width: 1 }, 'tile/63/999.p/1'],
    [{ level: 1, index: 1000, width: 255 }, 'tile/1/x001/000.p/255'],
  ])('%j is %s', (tile, path) => {
    expect(tilePath(tile)).toBe(path);
    expect(parseTilePath(path)).toEqual(tile);
  });

  it('of entries', () => {
    expect(entriesPath(1_234_067, 7)).toBe('tile/entries/x001/x234/067.p/7');
    expect(parseTilePath('tile/entries/x001/x234/067.p/7')).toEqual({ level: 'entries', index: 1_234_067, width: 7 });
  });

  it('are read as they are written', () => {
    fc.assert(fc.property(fc.nat({ max: 63 }), fc.nat({ max: Number.MAX_SAFE_INTEGER }), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
      expect(parseTilePath(tilePath({ level, index, width }))).toEqual({ level, index, width });
    }));
  });

  it.each([
    'tile/0/0', 'tile/0/1000', 'tile/0/x000/001', 'tile/00/000', 'tile/64/000', 'tile/-1/000', 'tile/0/000.p/0', 'tile/0/000.p/256', 'tile/0/000.p/01', 'tile/0/000.p/', 'tile/0/001/x002',
    'tile/0/../0/000', 'tile/0/000/', '/tile/0/000', 'tile/0/x999/x999/x999/x999/x999/999', 'checkpoint', 'tile/0/٠٠٠',
  ])('%s is none', (path) => {
    expect(parseTilePath(path)).toBeUndefined();
  });
});

describe('a tree', () => {
  it('of 70,000 entries has the tiles that the specification says', () => {
    const tiles = tilesSince(0, 70_000);
    const of = (level: number): Tile[] => tiles.filter((tile) => tile.level === level);
    expect(of(0)).toHaveLength(274);
    expect(of(0).at(-1)).toEqual({ level: 0, index: 273, width: 112 });
    expect(of(1)).toEqual([{ level: 1, index: 0, width: 256 }, { level: 1, index: 1, width: 17 }]);
    expect(of(2)).toEqual([{ level: 2, index: 0, width: 1 }]);
    expect(of(3)).toEqual([]);
  });

  it('of 256 entries has a full tile and the first hash of the next level', () => {
    expect(tilesSince(0, 256)).toEqual([{ level: 0, index: 0, width: 256 }, { level: 1, index: 0, width: 1 }]);
    expect(tilesSince(255, 256)).toEqual(tilesSince(0, 256));
    expect(tilesSince(256, 256)).toEqual([]);
    expect(tilesSince(0, 0)).toEqual([]);
  });

  it('is whole in its tiles, however it grew', () => {
    const leaves = Array.from({ length: 1400 }, (_, i) => leafHash(Buffer.from(`${i}`)));
    const direct = (level: number, place: number): Hash => (level === 0 ? (leaves[place] as Hash) : nodeHash(direct(level - 1, 2 * place), direct(level - 1, 2 * place + 1)));
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 4 }), fc.nat(), (steps, a) => {
      const stored = new Map<string, Buffer>();
      let size = 0;
      for (const step of steps) {
        const grown = Math.min(leaves.length, size + step);
        for (const tile of tilesSince(size, grown)) stored.set(tilePath(tile), Buffer.concat(Array.from({ length: tile.width }, (_, i) => direct(8 * tile.level, tile.index * 256 + i))));
        size = grown;
      }
      const node = nodesFrom(size, (tile) => stored.get(tilePath(tile)) as Buffer);
      expect(Buffer.from(rootOf(node, size))).toEqual(Buffer.from(rootOf(direct, size)));
      const index = a % size;
      expect(verifyInclusion(leaves[index] as Hash, index, size, inclusionProof(node, index, size), rootOf(direct, size))).toBe(true);
    }), { numRuns: 40 });
  });

  it('has nothing beyond its size, and says which tile is too short', () => {
    expect(tileAt(0, 1, 256)).toBeUndefined();
    const node = nodesFrom(3, () => Buffer.alloc(32));
    expect(() => node(0, 3)).toThrow(RangeError);
    expect(() => node(1, 1)).toThrow(RangeError);
    expect(() => node(0, 0)).toThrow('tile/0/000.p/3 has 32 bytes instead of 96');
  });
});
