import { open, readdir, rename, rm, statfs, type FileHandle } from 'node:fs/promises';
import type { ByteBuffer } from '@agent-audit/queries';

/** What the journal asks of a file system; tests let it fail. Every method rejects with a Node.js system error. */
export interface Disk {
  /** Makes a file that must not exist yet. */
  create(path: string): Promise<DiskFile>;
  /** @param memory is emptied and used; what was read is valid until it is used again */
  read(path: string, memory: ByteBuffer): Promise<Buffer>;
  remove(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  list(folder: string): Promise<string[]>;
  /** Bytes that may still be written below a folder. */
  free(folder: string): Promise<number>;
  /** Makes the names in a folder durable. */
  syncFolder(folder: string): Promise<void>;
}

export interface DiskFile {
  /** All of `bytes`, at `position`. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** fdatasync(2): resolves when all that was written is on the disk, and the file's length. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export const nodeDisk: Disk = {
  create: async (path) => new NodeFile(await open(path, 'wx', 0o600)),
  read: async (path, memory) => {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      memory.clear();
      memory.reserve(size);
      for (let read = -1; read !== 0 && memory.length < size; memory.length += read) {
        ({ bytesRead: read } = await handle.read(memory.bytes, memory.length, size - memory.length, memory.length));
      }
      return memory.view();
    } finally {
      await handle.close();
    }
  },
  remove: (path) => rm(path, { force: true }),
  rename,
  list: (folder) => readdir(folder),
  free: async (folder) => {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  },
  syncFolder: async (folder) => {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

class NodeFile implements DiskFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    // A write may be short, on a full disk above all; the next one then says why.
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
