import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { consistencyProof, EMPTY_ROOT, inclusionProof, leafHash, nodeHash, rootOf, verifyConsistency, verifyInclusion, type Hash, type NodeReader } from './merkle.ts';

/** The entries of Certificate Transparency's test trees, and the roots of the trees of the first 1 … 8 of them. */
const ENTRIES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d', 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77', 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4', '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c', '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const hex = (hash: Hash): string => Buffer.from(hash).toString('hex');

/** Every node from the leaves, as RFC 6962 says and no cleverer. */
function nodesOf(leaves: readonly Hash[]): NodeReader {
  return (level, place) => {
    if ((place + 1) * 2 ** level > leaves.length) throw new RangeError(`no node ${place} at level ${level}`);
    return level === 0 ? (leaves[place] as Hash) : nodeHash(nodesOf(leaves)(level - 1, 2 * place), nodesOf(leaves)(level - 1, 2 * place + 1));
  };
}

const leaves = Array.from({ length: 300 }, (_, i) => leafHash(Buffer.from(`${i}`)));
const node = nodesOf(leaves);
const sizes = fc.integer({ min: 0, max: leaves.length });

describe('roots', () => {
  it.each(ROOTS.map((root, i) => [i + 1, root] as const))('of Certificate Transparency\'s tree of %i', (size, root) => {
    expect(hex(rootOf(nodesOf(ENTRIES.map((entry) => leafHash(Buffer.from(entry, 'hex')))), size))).toBe(root);
  });

  it('of a tree without entries is the hash of nothing', () => {
    expect(hex(rootOf(node, 0))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(rootOf(node, 0)).toBe(EMPTY_ROOT);
  });
});

describe('inclusion', () => {
  it('is proved for every entry of every tree, and only at its place', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: leaves.length }), fc.nat(), fc.nat(), (size, a, b) => {
      const [index, other] = [a % size, b % size];
      const [root, proof] = [rootOf(node, size), inclusionProof(node, index, size)];
      expect(verifyInclusion(leaves[index] as Hash, index, size, proof, root)).toBe(true);
      expect(verifyInclusion(leaves[other] as Hash, index, size, proof, root)).toBe(index === other);
      expect(verifyInclusion(leaves[index] as Hash, other, size, proof, root)).toBe(index === other);
    }), { numRuns: 300 });
  });

  it('is not proved by a proof of which anything was changed', () => {
    fc.assert(fc.property(fc.integer({ min: 2, max: leaves.length }), fc.nat(), fc.nat(), fc.nat({ max: 255 }), fc.constantFrom('flip', 'drop', 'double', 'more'), (size, a, b, bit, how) => {
      const index = a % size;
      const root = rootOf(node, size);
      const proof: Uint8Array[] = inclusionProof(node, index, size).map((hash) => Uint8Array.from(hash));
      const at = b % proof.length;
      if (how === 'flip') (proof[at] as Uint8Array)[bit >> 3] = ((proof[at] as Uint8Array)[bit >> 3] as number) ^ (1 << (bit & 7));
      else if (how === 'drop') proof.splice(at, 1);
      else if (how === 'double') proof.splice(at, 0, proof[at] as Uint8Array);
      else proof.push(root);
      expect(verifyInclusion(leaves[index] as Hash, index, size, proof, root)).toBe(false);
    }), { numRuns: 300 });
  });

  it.each([[-1, 3], [3, 3], [0, 0], [1.5, 3], [Number.NaN, 3]])('of entry %d in a tree of %d does not exist', (index, size) => {
    expect(verifyInclusion(leaves[0] as Hash, index, size, [], leaves[0] as Hash)).toBe(false);
    if (index !== 1.5) expect(() => inclusionProof(node, index, size)).toThrow(RangeError);
  });
});

describe('consistency', () => {
  it('is proved between any two sizes', () => {
    fc.assert(fc.property(sizes, sizes, (a, b) => {
      const [first, second] = [Math.min(a, b), Math.max(a, b)];
      const proof = consistencyProof(node, first, second);
      expect(verifyConsistency(first, second, rootOf(node, first), rootOf(node, second), proof)).toBe(true);
    }), { numRuns: 500 });
  });

  it('is not proved with a tree of which an entry was changed, nor with another size', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: leaves.length }), fc.integer({ min: 1, max: leaves.length }), fc.nat(), (a, b, c) => {
      const [first, second] = [Math.min(a, b), Math.max(a, b)];
      const forged = leaves.with(c % first, leafHash(Buffer.from('forged')));
      const proof = consistencyProof(nodesOf(forged), first, second);
      expect(verifyConsistency(first, second, rootOf(node, first), rootOf(nodesOf(forged), second), proof)).toBe(false);
      if (first > 1) expect(verifyConsistency(first - 1, second, rootOf(node, first), rootOf(node, second), consistencyProof(node, first, second))).toBe(false);
    }), { numRuns: 200 });
  });

  it('from nothing, and with itself, needs no hash and takes none', () => {
    expect(consistencyProof(node, 0, 7)).toEqual([]);
    expect(consistencyProof(node, 7, 7)).toEqual([]);
    expect(verifyConsistency(7, 7, rootOf(node, 7), rootOf(node, 7), [rootOf(node, 7)])).toBe(false);
    expect(verifyConsistency(0, 7, rootOf(node, 1), rootOf(node, 7), [])).toBe(false);
    expect(verifyConsistency(3, 7, rootOf(node, 3), rootOf(node, 7), [])).toBe(false);
    expect(() => consistencyProof(node, 8, 7)).toThrow(RangeError);
  });
});
