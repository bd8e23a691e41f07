import { allocateShared, ByteBuffer } from './byte-buffer.ts';

/** The bytes of a block, in parts, in order. */
export type Block = readonly Uint8Array[];

/** Shorter ones are copied: a part of its own costs more. */
const REFERRED = 4096;

/** Gathers a block without copying what is long; on memory that threads share. */
export class BlockWriter {
  /** For what has no memory of its own. */
  readonly small = new ByteBuffer(1 << 16, allocateShared);
  /** Parts that are referred to, and where in `small` they stand. */
  readonly #referred: { readonly at: number; readonly bytes: Uint8Array }[] = [];

  clear(): void {
    this.small.clear();
    this.#referred.length = 0;
  }

  /** @param bytes must stay as they are until the block has been sent */
  refer(bytes: Uint8Array): void {
    if (bytes.length < REFERRED) this.small.append(bytes);
    else this.#referred.push({ at: this.small.length, bytes });
  }

  /** Valid until the next `clear`. */
  parts(): Block {
    const all = this.small.view();
    const parts: Uint8Array[] = [];
    let from = 0;
    for (const { at, bytes } of this.#referred) {
      if (at > from) parts.push(all.subarray(from, at));
      parts.push(bytes);
      from = at;
    }
    if (from < all.length) parts.push(all.subarray(from));
    return parts;
  }
}
