import { HASH_BYTES, nodeHash, type Hash, type NodeReader } from './merkle.ts';
import { Sha256 } from './sha256.ts';

/** Levels of a tree to a tile, and hashes that a full tile has: C2SP tlog-tiles. */
export const TILE_HEIGHT = 8;
export const TILE_WIDTH = 256;

export interface Tile {
  /** In tiles: its hashes are the roots of 256^level entries each. */
  readonly level: number;
  readonly index: number;
  /** Hashes in it, 1 … 256. */
  readonly width: number;
}

/** `x001/x234/067`. */
function pathOf(index: number): string {
  const digits = String(index);
  const parts = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) as string[];
  return parts.map((part, i) => (i < parts.length - 1 ? `x${part}` : part)).join('/');
}

const partial = (width: number): string => (width === TILE_WIDTH ? '' : `.p/${width}`);

/** Below the log's prefix: `tile/<L>/<N>[.p/<W>]`. */
export function tilePath({ level, index, width }: Tile): string {
  return `tile/${level}/${pathOf(index)}${partial(width)}`;
}

/** Below the log's prefix: `tile/entries/<N>[.p/<W>]`. */
export function entriesPath(index: number, width: number): string {
  return `tile/entries/${pathOf(index)}${partial(width)}`;
}

const TILE_PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;
const LEVEL_MAX = 63;

/** What a path below the prefix names; undefined for one that the layout does not have. */
export function parseTilePath(path: string): Tile | { readonly level: 'entries'; readonly index: number; readonly width: number } | undefined {
  const [, level, digits, wide] = TILE_PATH.exec(path) ?? [];
  if (level === undefined || digits === undefined) return undefined;
  const index = Number(digits.replaceAll(/[x/]/g, ''));
  const width = wide === undefined ? TILE_WIDTH : Number(wide);
  // One path to a tile: no leading groups of zeros.
  if (!Number.isSafeInteger(index) || pathOf(index) !== digits || (wide !== undefined && width >= TILE_WIDTH)) return undefined;
  if (level === 'entries') return { level, index, width };
  return Number(level) > LEVEL_MAX ? undefined : { level: Number(level), index, width };
}

/** How many hashes a tree of `size` entries has at a level of tiles. */
export function hashesAt(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/** The tile of a tree of `size` entries that holds a place of a level; undefined where it has none. */
export function tileAt(level: number, index: number, size: number): Tile | undefined {
  const width = Math.min(TILE_WIDTH, hashesAt(level, size) - index * TILE_WIDTH);
  return width <= 0 ? undefined : { level, index, width };
}

/** Tiles that a tree has at `size` entries and had not, or narrower, at `before`, by level and place. */
export function tilesSince(before: number, size: number): Tile[] {
  const tiles: Tile[] = [];
  for (let level = 0; hashesAt(level, size) > 0; level++) {
    const had = hashesAt(level, before);
    if (had === hashesAt(level, size)) continue;
    for (let index = Math.floor(had / TILE_WIDTH), tile = tileAt(level, index, size); tile !== undefined; tile = tileAt(level, ++index, size)) tiles.push(tile);
  }
  return tiles;
}

/**
 * Nodes of a tree out of its tiles.
 *
 * @param read the bytes of a tile, 32 for each hash @throws whatever `read` does; Error when it is shorter than its width
 */
export function nodesFrom(size: number, read: (tile: Tile) => Uint8Array): NodeReader {
  return (level, place) => {
    const within = level % TILE_HEIGHT;
    const first = place * 2 ** within;
    const tile = tileAt(Math.floor(level / TILE_HEIGHT), Math.floor(first / TILE_WIDTH), size);
    const from = first % TILE_WIDTH;
    if (tile === undefined || from + 2 ** within > tile.width) throw new RangeError(`a tree of ${size} entries has no node ${place} at level ${level}`);
    const bytes = read(tile);
    if (bytes.length < tile.width * HASH_BYTES) throw new Error(`${tilePath(tile)} has ${bytes.length} bytes instead of ${tile.width * HASH_BYTES}`);
    let hashes: Hash[] = Array.from({ length: 2 ** within }, (_, i) => bytes.subarray((from + i) * HASH_BYTES, (from + i + 1) * HASH_BYTES));
    while (hashes.length > 1) hashes = Array.from({ length: hashes.length / 2 }, (_, i) => nodeHash(hashes[2 * i] as Hash, hashes[2 * i + 1] as Hash));
    return hashes[0] as Hash;
  };
}

/** The root of a full tile: what stands for it in the tile above. */
export function rootOfTile(tile: Uint8Array): Buffer {
  const hashes = Buffer.from(tile);
  // Not made before it is needed: most who load this only read.
  pair ??= new Sha256(PAIR_BYTES);
  pair.input[0] = 1;
  for (let width = TILE_WIDTH; width > 1; width /= 2) {
    for (let i = 0; i < width / 2; i++) {
      hashes.copy(pair.input, 1, 2 * i * HASH_BYTES, (2 * i + 2) * HASH_BYTES);
      pair.digest(PAIR_BYTES, hashes, i * HASH_BYTES);
    }
  }
  return Buffer.from(hashes.subarray(0, HASH_BYTES));
}

/** Two nodes, with 0x01 in front (RFC 6962 section 2.1). */
const PAIR_BYTES = 1 + 2 * HASH_BYTES;
let pair: Sha256 | undefined;
