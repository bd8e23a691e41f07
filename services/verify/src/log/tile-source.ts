import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CHECKPOINT, HASH_BYTES, TILE_WIDTH, tilePath, type Tile } from '@agent-audit/tlog';
import { CannotVerify } from '../finding.ts';

/** Where a log is read from. */
export interface TileSource {
  /** The signed note. @throws CannotVerify */
  checkpoint(): Promise<string>;
  /** The bytes of a tile, fewer or none where it has not got them. @throws CannotVerify */
  read(tile: Tile): Promise<Uint8Array>;
}

/** A log in a folder: a collector's own, or a tree of files in the C2SP tlog-tiles layout. */
export async function folderSource(folder: string): Promise<TileSource> {
  const own = await stat(join(folder, 'level-0')).then(() => true, () => false);
  return {
    checkpoint: () => readNote(folder),
    read: own ? (tile) => readOwn(folder, tile) : (tile) => readStatic(folder, tile),
  };
}

async function readNote(folder: string): Promise<string> {
  try {
    return await readFile(join(folder, CHECKPOINT), 'utf8');
  } catch (error) {
    throw unreadable(`the checkpoint of the log in ${folder}`, error);
  }
}

async function readOwn(folder: string, { level, index, width }: Tile): Promise<Uint8Array> {
  try {
    const file = await open(join(folder, `level-${level}`));
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(width * HASH_BYTES), 0, width * HASH_BYTES, index * TILE_WIDTH * HASH_BYTES);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    return absent(error, folder);
  }
}

async function readStatic(folder: string, tile: Tile): Promise<Uint8Array> {
  try {
    return (await readFile(join(folder, tilePath(tile)))).subarray(0, tile.width * HASH_BYTES);
  } catch (error) {
    // A full tile may have taken the place of a partial one.
    if (tile.width < TILE_WIDTH) return (await readStatic(folder, { ...tile, width: TILE_WIDTH })).subarray(0, tile.width * HASH_BYTES);
    return absent(error, folder);
  }
}

function absent(error: unknown, folder: string): Uint8Array {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Uint8Array(0);
  throw unreadable(`the log in ${folder}`, error);
}

export function unreadable(what: string, error: unknown): CannotVerify {
  return new CannotVerify(`${what} cannot be read: ${(error as Error).message}`, { cause: error });
}
