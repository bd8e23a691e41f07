import { HASH_BYTES, hashesAt, nodesFrom, rootOf, rootOfTile, TILE_WIDTH, tileAt, tilePath, type Hash, type Tile } from '@agent-audit/tlog';
import type { TileSource } from './tile-source.ts';

/** What is wrong with the hashes of a log. */
export interface TreeFault {
  /** First entry that is concerned. */
  readonly index: number;
  readonly detail: string;
}

export interface TreeCheck {
  readonly faults: readonly TreeFault[];
  /** Roots of the tree at the sizes asked for; undefined where leaves are missing. */
  readonly roots: readonly Hash[] | undefined;
}

const FAULTS_MAX = 1000;
const TILES_AT_ONCE = 16;

/**
 * Makes the whole tree anew from its leaves, and compares every tile above them. Memory is flat: of each level, one tile.
 *
 * @param sizes of which the roots are wanted, none above `size`
 * @param onEntries how many entries were read
 */
export async function checkTree(source: TileSource, size: number, sizes: readonly number[], onEntries: (count: number) => void = () => {}): Promise<TreeCheck> {
  const faults: TreeFault[] = [];
  const fault = (index: number, detail: string): void => void (faults.length < FAULTS_MAX && faults.push({ index, detail }));
  /** Of each level, the tile that is being filled. */
  const filling: Buffer[] = [];
  /** The last tile of each level at each size, which are all that its root is made of. */
  const edges = sizes.map(() => new Map<number, Buffer>());

  const takeTile = async (tile: Tile, bytes: Buffer): Promise<void> => {
    const { level, index, width } = tile;
    for (const [i, at] of sizes.entries()) {
      const edge = tileAt(level, Math.floor(hashesAt(level, at) / TILE_WIDTH), at);
      if (edge?.index === index) edges[i]?.set(level, Buffer.from(bytes.subarray(0, edge.width * HASH_BYTES)));
    }
    if (level > 0) {
      const first = index * TILE_WIDTH;
      const stored = await source.read(tile);
      for (let i = 0; i < width; i++) {
        const isThere = stored.length >= (i + 1) * HASH_BYTES;
        if (isThere && bytes.compare(stored, i * HASH_BYTES, (i + 1) * HASH_BYTES, i * HASH_BYTES, (i + 1) * HASH_BYTES) === 0) continue;
        fault((first + i) * TILE_WIDTH ** level, `${tilePath(tile)}: hash ${i} ${isThere ? 'is not that of the hashes below it' : 'and what follows is missing'}`);
        if (!isThere) break;
      }
    }
    if (width < TILE_WIDTH) return;
    const above = (filling[level + 1] ??= Buffer.alloc(TILE_WIDTH * HASH_BYTES));
    above.set(rootOfTile(bytes), (index % TILE_WIDTH) * HASH_BYTES);
    if ((index + 1) % TILE_WIDTH === 0) await takeTile({ level: level + 1, index: Math.floor(index / TILE_WIDTH), width: TILE_WIDTH }, above);
  };

  const tiles = Math.ceil(size / TILE_WIDTH);
  for (let index = 0; index < tiles; index += TILES_AT_ONCE) {
    const batch = Array.from({ length: Math.min(TILES_AT_ONCE, tiles - index) }, (_, i) => tileAt(0, index + i, size) as Tile);
    const read = await Promise.all(batch.map((tile) => source.read(tile)));
    for (const [i, tile] of batch.entries()) {
      const bytes = Buffer.from(read[i] as Uint8Array);
      if (bytes.length < tile.width * HASH_BYTES) {
        fault(tile.index * TILE_WIDTH + Math.floor(bytes.length / HASH_BYTES), `${tilePath(tile)} has ${bytes.length} bytes instead of ${tile.width * HASH_BYTES}; nothing behind it was checked`);
        return { faults, roots: undefined };
      }
      await takeTile(tile, bytes);
      onEntries(tile.width);
    }
  }
  for (let level = 1; level < filling.length; level++) {
    const width = hashesAt(level, size) % TILE_WIDTH;
    if (width > 0) await takeTile({ level, index: Math.floor(hashesAt(level, size) / TILE_WIDTH), width }, filling[level] as Buffer);
  }
  const rootAt = (at: number, edge: ReadonlyMap<number, Buffer>): Hash => rootOf(nodesFrom(at, (tile) => edge.get(tile.level) ?? Buffer.alloc(0)), at);
  return { faults, roots: sizes.map((at, i) => rootAt(at, edges[i] as Map<number, Buffer>)) };
}
