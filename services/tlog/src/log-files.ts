import { closeSync, constants, fdatasyncSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts';
import { HASH_BYTES, rootOf, type Hash, type NodeReader } from './merkle.ts';
import { parseNote } from './note.ts';
import { hashesAt, nodesFrom, rootOfTile, TILE_WIDTH, type Tile } from './tiles.ts';

/*
 * A log in a folder:
 *
 *     level-0       the leaves, 32 bytes each
 *     level-1       the roots of 256 leaves each, and so on: tile N of level L is the 8,192 bytes from 8192 N on of level-L
 *     checkpoint    the last one that was signed
 *
 * What the checkpoint covers was synced before it was signed, and is never written again. What is behind it may be torn by
 * a crash: it is cut at the next start and made again from the recorded events.
 */
const TILE_BYTES = TILE_WIDTH * HASH_BYTES;
export const CHECKPOINT = 'checkpoint';

const levelFile = (folder: string, level: number): string => join(folder, `level-${level}`);

/** A log's files are not what its checkpoint says. */
export class LogBroken extends Error {
  override readonly name = 'LogBroken';
}

/** @returns the note and what it says, unverified; undefined for a log without one @throws LogBroken */
export function readCheckpoint(folder: string): { readonly note: string; readonly checkpoint: Checkpoint } | undefined {
  let note: string;
  try {
    note = readFileSync(join(folder, CHECKPOINT), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return { note, checkpoint: parseCheckpoint(parseNote(note).text) };
  } catch (error) {
    throw new LogBroken(`${join(folder, CHECKPOINT)} is not a checkpoint: ${(error as Error).message}`, { cause: error });
  }
}

/** The bytes of a tile, as many as there are of it. */
export function readTile(folder: string, { level, index, width }: Tile): Buffer {
  const bytes = Buffer.alloc(width * HASH_BYTES);
  let fd: number;
  try {
    fd = openSync(levelFile(folder, level), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
  try {
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, index * TILE_BYTES));
  } finally {
    closeSync(fd);
  }
}

/** Nodes of the log in a folder, for a tree of `size` leaves. Tiles are read once. */
export function nodesIn(folder: string, size: number): NodeReader {
  const tiles = new Map<string, Buffer>();
  return nodesFrom(size, (tile) => {
    const name = `${tile.level}/${tile.index}`;
    let bytes = tiles.get(name);
    if (bytes === undefined) tiles.set(name, (bytes = readTile(folder, tile)));
    return bytes;
  });
}

/** One level: what is not written yet, and the hashes of the tile that is not full. */
interface Level {
  /** Hashes that it has. */
  count: number;
  /** Of the tile that is filled. */
  readonly tile: Buffer;
  /** Bytes to be written behind the file. */
  unwritten: Buffer[];
}

/**
 * Appends to the log in a folder. One process at a time, which holds the data folder; everything is done at once, since it is meant for a
 * thread of its own.
 */
export class LogWriter {
  readonly #folder: string;
  readonly #levels: Level[] = [];
  readonly #written = new Set<number>();

  /** Opens a log as far as its checkpoint covers it; what is behind is cut off. @throws LogBroken when that is not whole */
  constructor(folder: string) {
    this.#folder = folder;
    const made = mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (made !== undefined) syncFolder(dirname(made));
    const { size, root } = readCheckpoint(folder)?.checkpoint ?? { size: 0, root: undefined };
    if (root !== undefined) {
      const found = tryRoot(folder, size);
      if (found === undefined || Buffer.compare(found, root) !== 0) throw new LogBroken(`the hashes in ${folder} are not those of its checkpoint of ${size} entries`);
    }
    for (let level = 0; level === 0 || hashesAt(level, size) > 0; level++) this.#levels.push(openLevel(folder, level, hashesAt(level, size)));
  }

  get size(): number {
    return this.#at(0).count;
  }

  /** @param leaves 32 bytes each @throws Error of the file system; then the log must be opened anew */
  append(leaves: Buffer): void {
    for (let at = 0; at < leaves.length; ) at += this.#fill(0, leaves.subarray(at));
    for (const [level, { unwritten }] of this.#levels.entries()) {
      if (unwritten.length === 0) continue;
      const bytes = Buffer.concat(unwritten);
      appendTo(levelFile(this.#folder, level), bytes, this.#at(level).count * HASH_BYTES - bytes.length);
      this.#written.add(level);
      unwritten.length = 0;
    }
  }

  /** Makes all that was appended durable. @returns the size and root of it */
  sync(): { readonly size: number; readonly root: Hash } {
    for (const level of this.#written) syncFile(levelFile(this.#folder, level));
    if (this.#written.size > 0) syncFolder(this.#folder);
    this.#written.clear();
    const { size } = this;
    return { size, root: rootOf(this.#nodes(size), size) };
  }

  #nodes(size: number): NodeReader {
    return nodesFrom(size, (tile) => {
      const level = this.#at(tile.level);
      return tile.index === Math.floor(level.count / TILE_WIDTH) ? level.tile : readTile(this.#folder, tile);
    });
  }

  /** Fills the last tile of a level. @returns how many bytes were taken */
  #fill(at: number, hashes: Buffer): number {
    const level = this.#at(at);
    const used = level.count % TILE_WIDTH;
    const taken = hashes.subarray(0, (TILE_WIDTH - used) * HASH_BYTES);
    taken.copy(level.tile, used * HASH_BYTES);
    level.unwritten.push(taken);
    level.count += taken.length / HASH_BYTES;
    if (level.count % TILE_WIDTH === 0) this.#fill(at + 1, rootOfTile(level.tile));
    return taken.length;
  }

  #at(level: number): Level {
    return (this.#levels[level] ??= { count: 0, tile: Buffer.alloc(TILE_BYTES), unwritten: [] });
  }
}

function tryRoot(folder: string, size: number): Hash | undefined {
  try {
    return rootOf(nodesIn(folder, size), size);
  } catch {
    // A tile is short.
    return undefined;
  }
}

function openLevel(folder: string, level: number, count: number): Level {
  const fd = openSync(levelFile(folder, level), 'a', 0o600);
  try {
    ftruncateSync(fd, count * HASH_BYTES);
  } finally {
    closeSync(fd);
  }
  const tile = Buffer.alloc(TILE_BYTES);
  const width = count % TILE_WIDTH;
  if (width > 0) readTile(folder, { level, index: Math.floor(count / TILE_WIDTH), width }).copy(tile);
  return { count, tile, unwritten: [] };
}

/** Written at its place, not at the end of the file: what an earlier, failed write left there is overwritten. */
function appendTo(path: string, bytes: Buffer, at: number): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o600);
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, at + done);
  } finally {
    closeSync(fd);
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, 'r+');
  try {
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
