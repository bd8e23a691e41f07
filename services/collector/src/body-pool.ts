/**
 * Buffers for request bodies, used again: most of what a busy collector allocates is bodies, and memory outside of the
 * JavaScript heap makes the collector of garbage run for its sake alone.
 */
export class BodyPool {
  readonly #bytes: number;
  readonly #max: number;
  readonly #idle: Buffer[] = [];

  /** @param bytes size of each buffer; larger bodies get one of their own @param max idle buffers to keep */
  constructor(bytes: number, max: number) {
    this.#bytes = bytes;
    this.#max = max;
  }

  /** A buffer of at least `bytes`, with anything in it. */
  take(bytes: number): Buffer {
    if (bytes > this.#bytes) return Buffer.allocUnsafeSlow(bytes);
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#bytes);
  }

  /** @param buffer from `take`; nobody may look at it any more */
  give(buffer: Buffer): void {
    if (buffer.length === this.#bytes && this.#idle.length < this.#max) this.#idle.push(buffer);
  }
}
