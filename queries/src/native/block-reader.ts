import { StoreError } from '../store-error.ts';
import { ByteBuffer } from './byte-buffer.ts';

/**
 * Reads a stream of Native blocks (protocol revision 0) piece by piece, as they arrive. Of the present block everything is kept:
 * offsets into `bytes` hold until `next`.
 *
 * @throws StoreError when the stream ends in the middle of a block
 */
export class BlockReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #buffer = new ByteBuffer(1 << 16);
  /** Where the next value begins. */
  at = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  get bytes(): Buffer {
    return this.#buffer.bytes;
  }

  /** Lets go of the block before. @returns whether another follows: columns, and rows */
  async next(): Promise<{ readonly columns: number; readonly rows: number } | undefined> {
    this.#buffer.bytes.copyWithin(0, this.at, this.#buffer.length);
    this.#buffer.length -= this.at;
    this.at = 0;
    if (!(await this.has(1))) return undefined;
    return { columns: await this.varint(), rows: await this.varint() };
  }

  /** Whether so many bytes follow. */
  async has(count: number): Promise<boolean> {
    while (this.at + count > this.#buffer.length) {
      const { value, done } = await this.#chunks.next();
      if (done === true) return false;
      this.#buffer.append(value);
    }
    return true;
  }

  /** Passes over so many bytes. @returns where they begin */
  async take(count: number): Promise<number> {
    if (!(await this.has(count))) throw new StoreError('ClickHouse broke off in the middle of an answer', undefined);
    const from = this.at;
    this.at += count;
    return from;
  }

  async varint(): Promise<number> {
    let value = 0;
    for (let weight = 1; ; weight *= 0x80) {
      // Taken first: what has come meanwhile may be in other memory.
      const at = await this.take(1);
      const byte = this.bytes[at] as number;
      value += (byte % 0x80) * weight;
      if (byte < 0x80) return value;
    }
  }

  async text(): Promise<string> {
    const size = await this.varint();
    const from = await this.take(size);
    return this.bytes.toString('utf8', from, from + size);
  }

  /** Passes over a column of strings. @param ranges gets from and to of each, without the length */
  async strings(rows: number, ranges: Int32Array): Promise<void> {
    for (let row = 0; row < rows; row++) {
      let { at } = this;
      const { bytes, length } = this.#buffer;
      let size = 0;
      let shift = 0;
      let byte = 0x80;
      while (byte >= 0x80 && at < length && shift < 28) {
        byte = bytes[at++] as number;
        size |= (byte & 0x7f) << shift;
        shift += 7;
      }
      if (byte >= 0x80 || at + size > length) {
        // Not all here yet: the slow way waits for it.
        size = await this.varint();
        at = await this.take(size);
      }
      ranges[2 * row] = at;
      ranges[2 * row + 1] = at + size;
      this.at = at + size;
    }
  }

  /** The bytes of each value of a column, whatever its type; slow. @param type none with a dictionary */
  async values(type: string, rows: number): Promise<Buffer[]> {
    if (type === 'String') {
      const from = this.at;
      const ranges = new Int32Array(2 * rows);
      await this.strings(rows, ranges);
      return Array.from({ length: rows }, (_, i) => Buffer.from(this.bytes.subarray(i === 0 ? from : ranges[2 * i - 1], ranges[2 * i + 1])));
    }
    const nested = /^(Array|Nullable)\((.+)\)$/s.exec(type);
    if (nested?.[1] === 'Nullable') {
      const nulls = await this.values('UInt8', rows);
      const values = await this.values(nested[2] as string, rows);
      return nulls.map((isNull, i) => (isNull[0] === 0 ? (values[i] as Buffer) : Buffer.of()));
    }
    if (nested !== null) {
      const ends = (await this.values('UInt64', rows)).map((end) => Number(end.readBigUInt64LE()));
      const elements = await this.values(nested[2] as string, ends.at(-1) ?? 0);
      return ends.map((end, i) => Buffer.concat(elements.slice(ends[i - 1] ?? 0, end)));
    }
    const width = widthOf(type);
    const from = await this.take(width * rows);
    return Array.from({ length: rows }, (_, i) => Buffer.from(this.bytes.subarray(from + i * width, from + (i + 1) * width)));
  }
}

function widthOf(type: string): number {
  if (/^(?:UInt8|Bool|Enum8\()/.test(type)) return 1;
  if (type === 'UInt16') return 2;
  if (/^(?:UInt64$|Float64$|DateTime64\()/.test(type)) return 8;
  throw new RangeError(`columns of type ${type} are not read here`);
}
