import { HASH_BYTES, hashesAt, nodesFrom, rootOf, rootOfTile, TILE_WIDTH, tileAt, type Hash, type Tile } from '@agent-audit/tlog';
import type { TileSource } from './tile-source.ts';

const CACHED = 4096;

/** The tiles without which no root can be made: of each level the last, unless it is full. */
export function edgeTiles(size: number): Tile[] {
  const tiles: Tile[] = [];
  for (let level = 0; hashesAt(level, size) > 0; level++) {
    const tile = tileAt(level, Math.floor(hashesAt(level, size) / TILE_WIDTH), size);
    if (tile !== undefined) tiles.push(tile);
  }
  return tiles;
}

/** All tiles that prove entries in some tiles of leaves. */
export function tilesFor(leafTiles: Iterable<number>, size: number): Tile[] {
  const tiles = new Map<string, Tile>();
  const add = (tile: Tile): void => void tiles.set(`${tile.level}/${tile.index}`, tile);
  for (const tile of edgeTiles(size)) add(tile);
  for (const leafTile of leafTiles) {
    for (let level = 0, index = leafTile, tile = tileAt(level, index, size); tile !== undefined; index = Math.floor(index / TILE_WIDTH), tile = tileAt(++level, index, size)) add(tile);
  }
  return [...tiles.values()];
}

/** Leaves of a log, each vouched for by its root: a tile is checked once, against the one above it. */
export class AuthenticTiles {
  readonly #source: TileSource;
  readonly #size: number;
  readonly #root: Hash;
  readonly #cache = new Map<string, Promise<Buffer | undefined>>();
  #edges: Promise<ReadonlyMap<string, Buffer> | undefined> | undefined;

  /** @param root as it was signed */
  constructor(source: TileSource, size: number, root: Hash) {
    this.#source = source;
    this.#size = size;
    this.#root = root;
  }

  /** @returns undefined where its tiles are missing, or not those of the root */
  async leaf(index: number): Promise<Hash | undefined> {
    const tile = await this.#tile(0, Math.floor(index / TILE_WIDTH));
    const at = (index % TILE_WIDTH) * HASH_BYTES;
    return tile?.subarray(at, at + HASH_BYTES);
  }

  #tile(level: number, index: number): Promise<Buffer | undefined> {
    const name = `${level}/${index}`;
    let tile = this.#cache.get(name);
    if (tile !== undefined) return tile;
    if (this.#cache.size >= CACHED) this.#cache.clear();
    tile = this.#authentic(level, index);
    this.#cache.set(name, tile);
    return tile;
  }

  async #authentic(level: number, index: number): Promise<Buffer | undefined> {
    this.#edges ??= this.#readEdges();
    const edges = await this.#edges;
    const edge = edges?.get(`${level}/${index}`);
    if (edges === undefined || edge !== undefined) return edge;
    const above = await this.#tile(level + 1, Math.floor(index / TILE_WIDTH));
    const tile = await this.#read({ level, index, width: TILE_WIDTH });
    const at = (index % TILE_WIDTH) * HASH_BYTES;
    return tile !== undefined && above !== undefined && rootOfTile(tile).equals(above.subarray(at, at + HASH_BYTES)) ? tile : undefined;
  }

  /** @returns undefined where the root is not made of them */
  async #readEdges(): Promise<ReadonlyMap<string, Buffer> | undefined> {
    const edges = new Map<string, Buffer>();
    for (const tile of edgeTiles(this.#size)) {
      const bytes = await this.#read(tile);
      if (bytes === undefined) return undefined;
      edges.set(`${tile.level}/${tile.index}`, bytes);
    }
    const root = rootOf(nodesFrom(this.#size, ({ level, index }) => edges.get(`${level}/${index}`) ?? Buffer.alloc(0)), this.#size);
    return Buffer.compare(root, this.#root) === 0 ? edges : undefined;
  }

  async #read(tile: Tile): Promise<Buffer | undefined> {
    const bytes = Buffer.from(await this.#source.read(tile));
    return bytes.length === tile.width * HASH_BYTES ? bytes : undefined;
  }
}
