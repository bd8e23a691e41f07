/**
 * ClickHouse's `xxHash32` and `murmurHash3_32`, so that what the engine computes over stored
 * rows and what is computed here for an arriving event are the same. Sources: the xxHash specification
 * (XXH32, seed 0) and MurmurHash3_x86_32 (seed 0).
 */

const P1 = 0x9e3779b1;
const P2 = 0x85ebca77;
const P3 = 0xc2b2ae3d;
const P4 = 0x27d4eb2f;
const P5 = 0x165667b1;

const rotl = (x: number, r: number): number => (x << r) | (x >>> (32 - r));

const word = (b: Uint8Array, i: number): number =>
  (b[i] as number) | ((b[i + 1] as number) << 8) | ((b[i + 2] as number) << 16) | ((b[i + 3] as number) << 24);

const round = (acc: number, input: number): number => Math.imul(rotl((acc + Math.imul(input, P2)) | 0, 13), P1);

/** Of the first `length` bytes. @returns an unsigned 32-bit integer */
export function xxHash32(bytes: Uint8Array, length = bytes.length): number {
  let i = 0;
  let hash: number;
  if (length >= 16) {
    let a = (P1 + P2) | 0;
    let b = P2 | 0;
    let c = 0;
    let d = -P1 | 0;
    for (; i <= length - 16; i += 16) {
      a = round(a, word(bytes, i));
      b = round(b, word(bytes, i + 4));
      c = round(c, word(bytes, i + 8));
      d = round(d, word(bytes, i + 12));
    }
    hash = (rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18)) | 0;
  } else {
    hash = P5 | 0;
  }
  hash = (hash + length) | 0;
  for (; i <= length - 4; i += 4) hash = Math.imul(rotl((hash + Math.imul(word(bytes, i), P3)) | 0, 17), P4);
  for (; i < length; i++) hash = Math.imul(rotl((hash + Math.imul((bytes[i] as number), P5)) | 0, 11), P1);
  hash = Math.imul(hash ^ (hash >>> 15), P2);
  hash = Math.imul(hash ^ (hash >>> 13), P3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

const mix = (k: number): number => Math.imul(rotl(Math.imul(k, C1), 15), C2);

/** Of the first `length` bytes. @returns an unsigned 32-bit integer */
export function murmurHash3(bytes: Uint8Array, length = bytes.length): number {
  let hash = 0;
  let i = 0;
  for (; i <= length - 4; i += 4) hash = (Math.imul(rotl(hash ^ mix(word(bytes, i)), 13), 5) + 0xe6546b64) | 0;
  let tail = 0;
  for (let j = length - 1; j >= i; j--) tail = (tail << 8) | (bytes[j] as number);
  if (i < length) hash ^= mix(tail);
  hash ^= length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
