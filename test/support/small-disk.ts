import { execFile } from 'node:child_process';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A disk of a few megabytes, to be filled up. Linux, and only for those who may mount. */
export class SmallDisk {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * Mounts a disk on a folder, which is made where it is missing.
   *
   * @throws Error that says why it cannot be mounted
   */
  static async mount(dir: string, bytes: number): Promise<SmallDisk> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'none', dir]);
    return new SmallDisk(dir);
  }

  /** Takes all the space that is left. */
  async fill(): Promise<void> {
    const file = await open(this.#ballast, 'a', 0o600);
    try {
      for (let chunk = Buffer.alloc(1024 * 1024); chunk.length > 0; ) {
        try {
          await file.appendFile(chunk);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
          // Down to the last byte.
          chunk = chunk.subarray(0, Math.floor(chunk.length / 2));
        }
      }
    } finally {
      await file.close();
    }
  }

  /** Gives back what `fill` took. */
  free(): Promise<void> {
    return rm(this.#ballast, { force: true });
  }

  /** With all that is on it. Nobody may have a file of it open. */
  async unmount(): Promise<void> {
    await run('umount', [this.#dir]);
  }

  get #ballast(): string {
    return join(this.#dir, 'ballast');
  }
}
