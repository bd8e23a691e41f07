import { createHash } from 'node:crypto';

/** SHA-256. */
export type Hash = Uint8Array;

export const HASH_BYTES = 32;
const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** RFC 6962 section 2.1: SHA-256(0x00 || entry). */
export function leafHash(entry: Uint8Array): Hash {
  return createHash('sha256').update(LEAF).update(entry).digest();
}

/** RFC 6962 section 2.1: SHA-256(0x01 || left || right). */
export function nodeHash(left: Hash, right: Hash): Hash {
  return createHash('sha256').update(NODE).update(left).update(right).digest();
}

/** The root of a tree without entries: SHA-256 of nothing. */
export const EMPTY_ROOT: Hash = createHash('sha256').digest();

/**
 * The root of a complete subtree: of the 2^level entries from place * 2^level on. Level 0 is the hash of a leaf.
 *
 * @throws Error when it is not known
 */
export type NodeReader = (level: number, place: number) => Hash;

/** The largest power of two below `n`, with n >= 2: where RFC 6962 splits a tree. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** The Merkle tree hash of the entries [from, to); `from` is a multiple of the least power of two that is not below to - from. */
function hashOf(node: NodeReader, from: number, to: number): Hash {
  const n = to - from;
  const level = Math.log2(n);
  if (Number.isInteger(level)) return node(level, from / n);
  const k = split(n);
  return nodeHash(hashOf(node, from, from + k), hashOf(node, from + k, to));
}

export function rootOf(node: NodeReader, size: number): Hash {
  return size === 0 ? EMPTY_ROOT : hashOf(node, 0, size);
}

/**
 * RFC 6962 section 2.1.1, from the leaf's sibling up.
 *
 * @throws RangeError when the tree has no such entry
 */
export function inclusionProof(node: NodeReader, index: number, size: number): Hash[] {
  if (!(index >= 0 && index < size)) throw new RangeError(`a tree of ${size} entries has none at ${index}`);
  const path = (from: number, to: number): Hash[] => {
    if (to - from === 1) return [];
    const middle = from + split(to - from);
    return index < middle ? [...path(from, middle), hashOf(node, middle, to)] : [...path(middle, to), hashOf(node, from, middle)];
  };
  return path(0, size);
}

/**
 * RFC 6962 section 2.1.2: that the first `first` entries of a tree of `second` are the tree of `first`.
 *
 * @throws RangeError unless 0 <= first <= second
 */
export function consistencyProof(node: NodeReader, first: number, second: number): Hash[] {
  if (!(first >= 0 && first <= second)) throw new RangeError(`a tree of ${second} entries does not hold one of ${first}`);
  if (first === 0) return [];
  const path = (from: number, to: number, whole: boolean): Hash[] => {
    if (first === to) return whole ? [] : [hashOf(node, from, to)];
    const middle = from + split(to - from);
    return first <= middle ? [...path(from, middle, whole), hashOf(node, middle, to)] : [...path(middle, to, false), hashOf(node, from, middle)];
  };
  return path(0, second, true);
}

const isOdd = (n: number): boolean => n % 2 === 1;
const half = (n: number): number => Math.floor(n / 2);
const same = (a: Hash, b: Hash): boolean => Buffer.compare(a, b) === 0;

/** RFC 9162 section 2.1.3.2. @param root of the tree of `size` entries @returns whether `leaf` is its entry at `index` */
export function verifyInclusion(leaf: Hash, index: number, size: number, proof: readonly Hash[], root: Hash): boolean {
  if (!(index >= 0 && index < size)) return false;
  let [place, last] = [index, size - 1];
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (isOdd(place) || place === last) {
      hash = nodeHash(sibling, hash);
      while (!isOdd(place) && place !== 0) [place, last] = [half(place), half(last)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [place, last] = [half(place), half(last)];
  }
  return last === 0 && same(hash, root);
}

/** RFC 9162 section 2.1.4.2. @returns whether the tree of `second` entries begins with that of `first` */
export function verifyConsistency(first: number, second: number, firstRoot: Hash, secondRoot: Hash, proof: readonly Hash[]): boolean {
  if (!(first >= 0 && first <= second)) return false;
  if (first === second) return proof.length === 0 && same(firstRoot, secondRoot);
  if (first === 0) return proof.length === 0 && same(firstRoot, EMPTY_ROOT);
  const [start, ...rest] = Number.isInteger(Math.log2(first)) ? [firstRoot, ...proof] : proof;
  if (start === undefined) return false;
  let [place, last] = [first - 1, second - 1];
  while (isOdd(place)) [place, last] = [half(place), half(last)];
  let [old, grown] = [start, start];
  for (const hash of rest) {
    if (last === 0) return false;
    if (isOdd(place) || place === last) {
      old = nodeHash(hash, old);
      grown = nodeHash(hash, grown);
      while (!isOdd(place) && place !== 0) [place, last] = [half(place), half(last)];
    } else {
      grown = nodeHash(grown, hash);
    }
    [place, last] = [half(place), half(last)];
  }
  return last === 0 && same(old, firstRoot) && same(grown, secondRoot);
}
