const SHORT = 48;

/** Memory that other threads can read where it is. */
export function allocateShared(size: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(size));
}

/**
 * A byte buffer that grows by doubling and is reused from block to block.
 * Little-endian throughout, as ClickHouse's binary formats are.
 */
export class ByteBuffer {
  bytes: Buffer;
  length = 0;

  readonly #allocate: (size: number) => Buffer;

  constructor(capacity = 1024, allocate: (size: number) => Buffer = Buffer.allocUnsafeSlow) {
    this.#allocate = allocate;
    this.bytes = allocate(capacity);
  }

  /** Makes room for `extra` more bytes; afterwards `bytes[length … length + extra)` may be written. */
  reserve(extra: number): void {
    const needed = this.length + extra;
    if (needed <= this.bytes.length) return;
    let capacity = Math.max(1024, this.bytes.length * 2);
    while (capacity < needed) capacity *= 2;
    const grown = this.#allocate(capacity);
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  clear(): void {
    this.length = 0;
  }

  /** The written bytes; valid until the next write or `clear`. */
  view(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  u8(value: number): void {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = value;
  }

  u16(value: number): void {
    this.reserve(2);
    this.length = this.bytes.writeUInt16LE(value, this.length);
  }

  u32(value: number): void {
    this.reserve(4);
    this.length = this.bytes.writeUInt32LE(value, this.length);
  }

  /** An unsigned integer of at most 2^53 - 1, exactly, without a bigint. */
  u64(value: number): void {
    this.reserve(8);
    const high = Math.floor(value / 0x1_0000_0000);
    this.bytes.writeUInt32LE(value - high * 0x1_0000_0000, this.length);
    this.length = this.bytes.writeUInt32LE(high, this.length + 4);
  }

  /** Unsigned LEB128, ClickHouse's VarUInt. */
  varint(value: number): void {
    this.reserve(10);
    while (value >= 0x80) {
      this.bytes[this.length++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    this.bytes[this.length++] = value;
  }

  append(source: Uint8Array): void {
    this.reserve(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
  }

  /** VarUInt length, then UTF-8. Lone surrogates become U+FFFD: callers that must not lose them check before. */
  string(value: string): void {
    const characters = value.length;
    if (characters < 64) {
      this.reserve(characters + 1);
      const { bytes } = this;
      const start = this.length + 1;
      let i = 0;
      for (; i < characters; i++) {
        const code = value.charCodeAt(i);
        if (code > 0x7f) break;
        bytes[start + i] = code;
      }
      if (i === characters) {
        bytes[this.length] = characters;
        this.length = start + characters;
        return;
      }
    }
    const size = Buffer.byteLength(value);
    this.varint(size);
    this.reserve(size);
    this.length += this.bytes.write(value, this.length, 'utf8');
  }

  /** VarUInt length, then the bytes in [from, to) as they are. */
  stringBytes(source: Uint8Array, from: number, to: number): void {
    const size = to - from;
    this.reserve(size + 10);
    if (size < 0x80) this.bytes[this.length++] = size;
    else this.varint(size);
    const { bytes } = this;
    const at = this.length;
    this.length = at + size;
    // A call into native code costs more than copying a short string by hand.
    if (size < SHORT) for (let i = 0; i < size; i++) bytes[at + i] = source[from + i] as number;
    else bytes.set(from === 0 && to === source.length ? source : source.subarray(from, to), at);
  }
}
