import { closeSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ByteBuffer } from '@agent-audit/queries';
import type { Random } from './random.ts';

export type DiskOperation = 'create' | 'read' | 'remove' | 'rename' | 'list' | 'syncFolder' | 'write' | 'sync' | 'close';

/** A file's bytes, whatever its name is. */
interface Inode {
  bytes: Buffer;
  /** How many of them are on the disk for good; what is behind may be lost in a power cut. */
  synced: number;
}

const SECTOR = 512;

/**
 * A disk that fails as it is told to, over a real folder: a `Disk` of the collector's journal. It knows what was synced
 * apart from what was only written, and what of that a power cut may leave.
 */
export class TestDisk {
  /** Called before each operation. What it throws, the operation rejects with; what it returns is waited for. */
  before: (operation: DiskOperation, path: string) => void | Promise<void> = () => {};
  /** Bytes that still fit. The write that does not fit is short, and the next one fails. */
  space = Number.POSITIVE_INFINITY;
  /** A sync says that it is done, and does nothing. */
  lies = false;
  readonly calls: Record<DiskOperation, number> = { create: 0, read: 0, remove: 0, rename: 0, list: 0, syncFolder: 0, write: 0, sync: 0, close: 0 };
  readonly #names = new Map<string, Inode>();
  readonly #durable = new Map<string, Inode>();
  /** Descriptors, because nobody may leave a `FileHandle` open. */
  readonly #open = new Set<number>();
  #dead = false;

  /** From now on nothing that is under way or begun goes any further, as for a process that is killed. What was written stays. */
  die(): void {
    this.#dead = true;
    for (const file of this.#open) closeSync(file);
    this.#open.clear();
  }

  /**
   * Leaves in the folder what a power cut may leave: all that was synced, in files whose names were; of the rest, anything.
   * To be called after `die`.
   */
  powerCut(folder: string, random: Random): void {
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
    for (const path of new Set([...this.#names.keys(), ...this.#durable.keys()])) {
      const inode = random.pick([this.#names.get(path), this.#durable.get(path)]);
      if (inode === undefined || dirname(path) !== folder) continue;
      const tail = Buffer.from(inode.bytes.subarray(inode.synced));
      const kind = random.int(3);
      const end = random.int(tail.length + 1);
      // The length is on the disk, and the bytes of the end are not.
      if (kind === 0) tail.fill(0, end);
      // Any of the sectors are on the disk.
      if (kind === 1) for (let at = 0; at < tail.length; at += SECTOR) if (random.chance(0.5)) tail.fill(0, at, Math.min(tail.length, at + SECTOR));
      writeFileSync(path, Buffer.concat([inode.bytes.subarray(0, inode.synced), kind === 2 ? tail.subarray(0, end) : tail]));
    }
  }

  create(path: string): Promise<{ write: (bytes: Uint8Array, position: number) => Promise<void>; sync: () => Promise<void>; close: () => Promise<void> }> {
    return this.#run('create', path, () => {
      const file = openSync(path, 'wx', 0o600);
      this.#open.add(file);
      const inode: Inode = { bytes: Buffer.alloc(0), synced: 0 };
      this.#names.set(path, inode);
      return {
        write: (bytes, position) => this.#run('write', path, () => {
          const fits = Math.min(bytes.length, this.space);
          this.space -= fits;
          const gap = Buffer.alloc(Math.max(0, position - inode.bytes.length));
          inode.bytes = Buffer.concat([inode.bytes.subarray(0, position), gap, bytes.subarray(0, fits), inode.bytes.subarray(position + fits)]);
          writeSync(file, bytes, 0, fits, position);
          if (fits < bytes.length) throw failure('ENOSPC');
        }),
        sync: () => {
          const { length } = inode.bytes;
          return this.#run('sync', path, () => {
            if (!this.lies) inode.synced = Math.max(inode.synced, length);
          });
        },
        close: () => this.#run('close', path, () => {
          if (this.#open.delete(file)) closeSync(file);
        }),
      };
    });
  }

  read(path: string, memory: ByteBuffer): Promise<Buffer> {
    return this.#run('read', path, () => {
      // Whoever still holds what was read before must notice.
      memory.bytes.fill(0xff);
      memory.clear();
      memory.append(readFileSync(path));
      return memory.view();
    });
  }

  remove(path: string): Promise<void> {
    return this.#run('remove', path, () => {
      this.#names.delete(path);
      rmSync(path, { force: true });
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run('rename', from, () => {
      const inode = this.#names.get(from);
      if (inode !== undefined) this.#names.set(to, inode);
      this.#names.delete(from);
      renameSync(from, to);
    });
  }

  async free(): Promise<number> {
    return 2 ** 40;
  }

  list(folder: string): Promise<string[]> {
    return this.#run('list', folder, () => {
      const names = readdirSync(folder);
      // Files that were there before have been there for long.
      for (const path of names.map((name) => join(folder, name)).filter((path) => !this.#names.has(path))) {
        const bytes = readFileSync(path);
        const inode = { bytes, synced: bytes.length };
        this.#names.set(path, inode);
        this.#durable.set(path, inode);
      }
      return names;
    });
  }

  syncFolder(folder: string): Promise<void> {
    return this.#run('syncFolder', folder, () => {
      if (this.lies) return;
      for (const path of this.#durable.keys()) if (dirname(path) === folder && !this.#names.has(path)) this.#durable.delete(path);
      for (const [path, inode] of this.#names) if (dirname(path) === folder) this.#durable.set(path, inode);
    });
  }

  /** The effect comes at once and as a whole, or not at all. */
  async #run<T>(operation: DiskOperation, path: string, effect: () => T): Promise<T> {
    if (!this.#dead) {
      this.calls[operation]++;
      await this.before(operation, path);
    }
    // Never to be answered.
    if (this.#dead) await Promise.withResolvers<never>().promise;
    return effect();
  }
}

/** As Node.js reports what the operating system says. */
export function failure(code: 'ENOSPC' | 'EIO' | 'EDQUOT' | 'EMFILE'): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: made up by a test`), { code });
}
