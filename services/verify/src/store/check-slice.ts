import { storedSlice, type Store, type StoredBlock } from '@agent-audit/queries';
import { HASH_BYTES, LeafHasher, MISSING_LEAF, SALT_BYTES, tileAt, TILE_WIDTH, type Tile } from '@agent-audit/tlog';
import { folderSource, type TileSource } from '../log/tile-source.ts';
import { saltsOf, type StoredLog } from './stored-log.ts';

/** What a run of places of a log came to, compared with the rows of the store. */
export interface SliceResult {
  /** Rows that were read, and the bytes of their events. */
  readonly rows: number;
  readonly bytes: number;
  /** Places whose leaf is not that of the one row there: to be looked at more closely. */
  readonly suspects: readonly number[];
  readonly suspectsTotal: number;
  /** Events that were gone before they were put into the log. */
  readonly missing: readonly number[];
  /** Rows that are what was logged, with columns that are not those of their bytes. */
  readonly altered: readonly { readonly index: number; readonly eventId: string; readonly columns: readonly string[] }[];
  readonly alteredTotal: number;
  /** Rows that are what was logged, and no event by today's schema. */
  readonly unreadable: number;
}

/** Places that are named of each kind. */
export const NAMED_MAX = 100_000;
/** Entries hold no longer event_id. */
const ID_MAX = 255;
const UNSEEN = 0;
const SEEN = 1;
const SUSPECT = 2;

/**
 * Compares every row with a place from `from` on and before `to` with its leaf, and its columns with its bytes. Holds 49 bytes for each place.
 *
 * @throws StoreError; CannotVerify
 */
export async function checkSlice(store: Store, log: StoredLog, from: number, to: number, onRows: (rows: number) => void): Promise<SliceResult> {
  const count = to - from;
  const leaves = await leavesFrom(await folderSource(log.folder), log.size, from, to);
  const words = new Int32Array(leaves.buffer, leaves.byteOffset, count * 8);
  const salts = saltsOf(log).from(from, count);
  const seen = new Uint8Array(count);
  const hasher = new LeafHasher();
  hasher.tenant = log.tenant;
  const hashed = Buffer.alloc(HASH_BYTES);
  const hashedWords = new Int32Array(hashed.buffer, hashed.byteOffset, 8);
  const altered: SliceResult['altered'][number][] = [];
  let [rows, bytes, alteredTotal, unreadable] = [0, 0, 0, 0];

  const isLogged = (block: StoredBlock, row: number, place: number): boolean => {
    const { bytes: all, ids, raws, timesAt } = block;
    const [idAt, idEnd, rawAt, rawEnd] = [ids[2 * row] as number, ids[2 * row + 1] as number, raws[2 * row] as number, raws[2 * row + 1] as number];
    if (idEnd - idAt > ID_MAX) return false;
    hasher.salt(salts, place * SALT_BYTES, all, rawAt, rawEnd - rawAt);
    hasher.hash(all, idAt, idEnd - idAt, all.readUInt32LE(timesAt + 8 * row + 4), all.readUInt32LE(timesAt + 8 * row), hashed, 0);
    for (let i = 0; i < 8; i++) if (hashedWords[i] !== words[place * 8 + i]) return false;
    return true;
  };

  for await (const block of storedSlice(store, log, from, to)) {
    for (let row = 0; row < block.rows; row++) {
      const { bytes: all, indexesAt, ids, raws } = block;
      const index = all.readUInt32LE(indexesAt + 8 * row) + all.readUInt32LE(indexesAt + 8 * row + 4) * 0x1_0000_0000;
      const place = index - from;
      bytes += (raws[2 * row + 1] as number) - (raws[2 * row] as number);
      if (seen[place] !== UNSEEN || !isLogged(block, row, place)) {
        seen[place] = SUSPECT;
        continue;
      }
      seen[place] = SEEN;
      if (block.unreadable.has(row)) unreadable++;
      const columns = block.differing.get(row);
      if (columns === undefined) continue;
      alteredTotal++;
      if (altered.length < NAMED_MAX) altered.push({ index, eventId: all.toString('utf8', ids[2 * row], ids[2 * row + 1]), columns });
    }
    rows += block.rows;
    onRows(block.rows);
  }

  const suspects: number[] = [];
  const missing: number[] = [];
  let suspectsTotal = 0;
  for (let place = 0; place < count; place++) {
    if (seen[place] === SEEN) continue;
    if (seen[place] === UNSEEN && leaves.compare(MISSING_LEAF, 0, HASH_BYTES, place * HASH_BYTES, (place + 1) * HASH_BYTES) === 0) {
      if (missing.length < NAMED_MAX) missing.push(from + place);
      continue;
    }
    suspectsTotal++;
    if (suspects.length < NAMED_MAX) suspects.push(from + place);
  }
  return { rows, bytes, suspects, suspectsTotal, missing, altered, alteredTotal, unreadable };
}

const TILES_AT_ONCE = 64;

async function leavesFrom(source: TileSource, size: number, from: number, to: number): Promise<Buffer> {
  const leaves = Buffer.from(new ArrayBuffer((to - from) * HASH_BYTES));
  const tiles: Tile[] = [];
  for (let index = Math.floor(from / TILE_WIDTH); index * TILE_WIDTH < to; index++) tiles.push(tileAt(0, index, size) as Tile);
  for (let at = 0; at < tiles.length; at += TILES_AT_ONCE) {
    const batch = tiles.slice(at, at + TILES_AT_ONCE);
    const read = await Promise.all(batch.map((tile) => source.read(tile)));
    for (const [i, { index }] of batch.entries()) {
      // Slices begin where tiles do.
      const bytes = (read[i] as Uint8Array).subarray(0, (to - index * TILE_WIDTH) * HASH_BYTES);
      leaves.set(bytes, (index * TILE_WIDTH - from) * HASH_BYTES);
    }
  }
  return leaves;
}
