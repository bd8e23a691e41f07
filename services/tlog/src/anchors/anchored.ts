import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The last checkpoint of a log that is kept at a target. */
export interface Anchored {
  readonly origin: string;
  readonly size: number;
  /** Base64. */
  readonly root: string;
  /** Lines, each with its newline. */
  readonly cosignatures: readonly string[];
  /** RFC 3339. */
  readonly at: string;
}

/**
 * What was anchored at one target, in a file. It is not synced: what a power cut takes of it is only anchored again, and syncs are
 * what recording waits for.
 */
export class AnchoredFile {
  readonly #path: string;
  readonly #target: string;
  #isDirty = false;
  #saving: Promise<void> | undefined;

  constructor(folder: string, target: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, `${createHash('sha256').update(target).digest('hex').slice(0, 16)}.json`);
    this.#target = target;
  }

  /** @throws Error when the file cannot be read for what it is */
  load(): Anchored[] {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    const { logs } = JSON.parse(text) as { logs: Anchored[] };
    if (!logs.every(({ origin, size, root, cosignatures, at }) => [origin, root, at, ...cosignatures].every((one) => typeof one === 'string') && Number.isSafeInteger(size))) throw new TypeError(`${this.#path} is damaged`);
    return logs;
  }

  /** Resolves when what `current` says then is written; several calls are one write. */
  save(current: () => readonly Anchored[]): Promise<void> {
    this.#isDirty = true;
    this.#saving ??= this.#write(current).finally(() => {
      this.#saving = undefined;
    });
    return this.#saving;
  }

  async #write(current: () => readonly Anchored[]): Promise<void> {
    while (this.#isDirty) {
      this.#isDirty = false;
      await writeFile(`${this.#path}.tmp`, `${JSON.stringify({ target: this.#target, logs: current() })}\n`, { mode: 0o600 });
      await rename(`${this.#path}.tmp`, this.#path);
    }
  }
}
