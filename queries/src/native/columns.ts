import type { BlockWriter } from './block-writer.ts';
import { allocateShared, ByteBuffer } from './byte-buffer.ts';

/**
 * One column of a block in ClickHouse's Native format, written row by row.
 *
 * A column's bytes are an optional *prefix* (only LowCardinality has one, and an
 * Array writes its element's prefix before its own offsets) followed by the *values*.
 * Source: ClickHouse's serializations (SerializationLowCardinality, SerializationArray,
 * SerializationNullable), as written to a Native stream of protocol revision 0.
 */
export interface Column {
  /** ClickHouse's name of the type, as it stands in the block's header. */
  readonly type: string;
  writePrefix(to: ByteBuffer): void;
  writeValues(to: BlockWriter): void;
  clear(): void;
}

export class StringColumn implements Column {
  readonly type = 'String';
  readonly #buffer = new ByteBuffer(1024, allocateShared);

  append(value: string): void {
    if (value === '') this.#buffer.u8(0);
    else this.#buffer.string(value);
  }

  /** Any bytes, UTF-8 or not: ClickHouse's String is a byte string. */
  appendBytes(source: Uint8Array, from = 0, to = source.length): void {
    if (from === to) this.#buffer.u8(0);
    else this.#buffer.stringBytes(source, from, to);
  }

  /** All values, each with its length in front; valid until `clear`. */
  view(): Uint8Array {
    return this.#buffer.view();
  }

  writePrefix(_to: ByteBuffer): void {
    // Plain columns have none.
  }

  writeValues(to: BlockWriter): void {
    to.refer(this.#buffer.view());
  }

  clear(): void {
    this.#buffer.clear();
  }
}

interface WordsOf<Words> {
  readonly BYTES_PER_ELEMENT: number;
  new (memory: SharedArrayBuffer): Words;
}

/** Values of a fixed width, kept in the machine's own words; every platform that Node runs on is little-endian. */
abstract class FixedColumn<Words extends Uint32Array | Uint16Array | Uint8Array | Float64Array> implements Column {
  abstract readonly type: string;
  protected words: Words;
  protected used = 0;
  readonly #Words: WordsOf<Words>;

  constructor(Words: WordsOf<Words>) {
    this.#Words = Words;
    this.words = this.#allocate(1024);
  }

  #allocate(capacity: number): Words {
    return new this.#Words(new SharedArrayBuffer(capacity * this.#Words.BYTES_PER_ELEMENT));
  }

  /** Makes room for `count` more words and hands out the place of the first. */
  protected next(count: number): number {
    const at = this.used;
    this.used = at + count;
    if (this.used > this.words.length) {
      const grown = this.#allocate(this.words.length * 2);
      grown.set(this.words);
      this.words = grown;
    }
    return at;
  }

  writePrefix(_to: ByteBuffer): void {
    // Plain columns have none.
  }

  /** All values; valid until `clear`. */
  view(): Uint8Array {
    return new Uint8Array(this.words.buffer, this.words.byteOffset, this.used * this.words.BYTES_PER_ELEMENT);
  }

  writeValues(to: BlockWriter): void {
    to.refer(this.view());
  }

  clear(): void {
    this.used = 0;
  }
}

const WORD = 0x1_0000_0000;

/** 64-bit values as two words, the lower first: no bigint on the way of a plain number. */
abstract class Fixed64Column extends FixedColumn<Uint32Array> {
  constructor() {
    super(Uint32Array);
  }

  protected put(low: number, high: number): void {
    const at = this.next(2);
    this.words[at] = low;
    this.words[at + 1] = high;
  }

  /** @param value in -2^63 … 2^64 - 1 */
  protected putBigInt(value: bigint): void {
    this.put(Number(BigInt.asUintN(32, value)), Number(BigInt.asUintN(32, value >> 32n)));
  }
}

export class UInt64Column extends Fixed64Column {
  readonly type = 'UInt64';

  /** @param value an integer in 0 … 2^53 - 1 */
  append(value: number): void {
    const high = Math.floor(value / WORD);
    this.put(value - high * WORD, high);
  }

  appendBigInt(value: bigint): void {
    this.putBigInt(value);
  }

  at(row: number): number {
    return (this.words[2 * row] as number) + (this.words[2 * row + 1] as number) * WORD;
  }

  /** Adds to the values of the rows [from, to); the sums, too, are at most 2^53 - 1. */
  raise(from: number, to: number, by: number): void {
    for (let at = from * 2; at < to * 2; at += 2) {
      const sum = (this.words[at] as number) + (this.words[at + 1] as number) * WORD + by;
      const high = Math.floor(sum / WORD);
      this.words[at] = sum - high * WORD;
      this.words[at + 1] = high;
    }
  }
}

/** DateTime64(precision, 'UTC'): an Int64 count of 10^-precision seconds since the Unix epoch. */
export class DateTime64Column extends Fixed64Column {
  readonly type: string;
  readonly #perSecond: number;

  constructor(precision: 3 | 6 | 9) {
    super();
    this.type = `DateTime64(${precision}, 'UTC')`;
    this.#perSecond = 10 ** precision;
  }

  appendTicks(ticks: bigint): void {
    this.putBigInt(ticks);
  }

  /**
   * Exactly, in plain numbers: the product is split at 2^16, so that no part of it passes 2^53.
   *
   * @param seconds whole seconds since the Unix epoch, negative before it
   * @param fraction ticks within that second, 0 or more
   */
  append(seconds: number, fraction: number): void {
    const upper = Math.floor(seconds / 0x1_0000);
    const above = upper * this.#perSecond;
    const high = Math.floor(above / 0x1_0000);
    const below = (above - high * 0x1_0000) * 0x1_0000 + (seconds - upper * 0x1_0000) * this.#perSecond + fraction;
    const carry = Math.floor(below / WORD);
    this.put(below - carry * WORD, high + carry);
  }
}

export class UInt32Column extends FixedColumn<Uint32Array> {
  readonly type = 'UInt32';

  constructor() {
    super(Uint32Array);
  }

  append(value: number): void {
    const at = this.next(1);
    this.words[at] = value;
  }
}

export class UInt16Column extends FixedColumn<Uint16Array> {
  readonly type = 'UInt16';

  constructor() {
    super(Uint16Array);
  }

  append(value: number): void {
    const at = this.next(1);
    this.words[at] = value;
  }
}

export class UInt8Column extends FixedColumn<Uint8Array> {
  readonly type: string = 'UInt8';

  constructor() {
    super(Uint8Array);
  }

  append(value: number): void {
    const at = this.next(1);
    this.words[at] = value;
  }
}

export class BoolColumn extends FixedColumn<Uint8Array> {
  readonly type = 'Bool';

  constructor() {
    super(Uint8Array);
  }

  append(value: boolean): void {
    const at = this.next(1);
    this.words[at] = value ? 1 : 0;
  }
}

export class Float64Column extends FixedColumn<Float64Array> {
  readonly type = 'Float64';

  constructor() {
    super(Float64Array);
  }

  append(value: number): void {
    const at = this.next(1);
    this.words[at] = value;
  }
}

/** Enum8 with the given names; a name's code is its place in the list, from `first` on. */
export class EnumColumn<Name extends string> extends FixedColumn<Uint8Array> {
  readonly type: string;
  readonly #codes: ReadonlyMap<string, number>;

  constructor(names: readonly Name[], first = 1) {
    super(Uint8Array);
    this.#codes = new Map(names.map((name, i) => [name, first + i]));
    this.type = `Enum8(${names.map((name, i) => `'${name}' = ${first + i}`).join(', ')})`;
  }

  /** @throws RangeError for a name that the type does not have */
  append(name: Name): void {
    const code = this.#codes.get(name);
    if (code === undefined) throw new RangeError(`'${name}' is not a value of ${this.type}`);
    this.appendCode(code);
  }

  /** @param code of one of the names */
  appendCode(code: number): void {
    const at = this.next(1);
    this.words[at] = code;
  }
}

/** UUID: two little-endian UInt64 halves, the more significant one first. */
export class UuidColumn extends Fixed64Column {
  readonly type = 'UUID';
  #last: string | undefined;
  #words: readonly number[] = [];

  /** @param value 32 hexadecimal digits with or without hyphens @throws RangeError for anything else */
  append(value: string): void {
    if (value !== this.#last) {
      const digits = value.replaceAll('-', '');
      if (!/^[0-9a-fA-F]{32}$/.test(digits)) throw new RangeError(`not a UUID: ${JSON.stringify(value)}`);
      this.#words = [8, 0, 24, 16].map((at) => Number.parseInt(digits.slice(at, at + 8), 16));
      this.#last = value;
    }
    this.put(this.#words[0] as number, this.#words[1] as number);
    this.put(this.#words[2] as number, this.#words[3] as number);
  }
}

/** Nullable(T): which rows are null, then a value for every row. */
export class NullableColumn<Value> implements Column {
  readonly type: string;
  readonly #nulls = new UInt8Column();
  readonly #values: Column & { append(value: Value): void };
  readonly #filler: Value;

  /** @param filler what stands in the place of a null's value; never read */
  constructor(values: Column & { append(value: Value): void }, filler: Value) {
    this.#values = values;
    this.#filler = filler;
    this.type = `Nullable(${values.type})`;
  }

  append(value: Value | undefined): void {
    this.#nulls.append(value === undefined ? 1 : 0);
    this.#values.append(value ?? this.#filler);
  }

  writePrefix(to: ByteBuffer): void {
    this.#values.writePrefix(to);
  }

  writeValues(to: BlockWriter): void {
    this.#nulls.writeValues(to);
    this.#values.writeValues(to);
  }

  clear(): void {
    this.#nulls.clear();
    this.#values.clear();
  }
}

const SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS = 1;
const HAS_ADDITIONAL_KEYS = 1 << 9;
const NEEDS_UPDATE_DICTIONARY = 1 << 10;
const INDEX_WIDTH = { u8: 0, u16: 1, u32: 2 } as const;

/** Slots for values seen lately. */
const RECENT = 61;

/** LowCardinality(String): the block's distinct values once, then an index a row. */
export class LowCardinalityColumn implements Column {
  readonly type = 'LowCardinality(String)';
  readonly #positions = new Map<string, number>();
  /** ClickHouse keeps position 0 of every dictionary for the type's default value. */
  readonly #keys: string[] = [''];
  #rows = new Uint32Array(1024);
  #count = 0;
  #lastValue = '';
  #lastPosition = 0;
  readonly #recentBytes: (Buffer | undefined)[] = Array.from({ length: RECENT }, () => undefined);
  readonly #recentPositions = new Uint32Array(RECENT);

  append(value: string): void {
    this.#appendPosition(this.#position(value));
  }

  #appendPosition(position: number): void {
    if (this.#count === this.#rows.length) {
      const grown = new Uint32Array(this.#count * 2);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    this.#rows[this.#count++] = position;
  }

  /** @param source holds UTF-8 in [from, to) */
  appendBytes(source: Uint8Array, from: number, to: number): void {
    if (from === to) {
      this.#appendPosition(0);
      return;
    }
    // Most values were there a moment ago: then no string is made at all.
    const slot = (to - from + 7 * (source[from] as number) + 31 * (source[to - 1] as number)) % RECENT;
    const recent = this.#recentBytes[slot];
    if (recent !== undefined && recent.length === to - from) {
      let i = 0;
      while (i < recent.length && source[from + i] === recent[i]) i++;
      if (i === recent.length) {
        this.#appendPosition(this.#recentPositions[slot] as number);
        return;
      }
    }
    const bytes = Buffer.from(source.subarray(from, to));
    const position = this.#position(bytes.toString('utf8'));
    this.#recentBytes[slot] = bytes;
    this.#recentPositions[slot] = position;
    this.#appendPosition(position);
  }

  #position(value: string): number {
    if (value === this.#lastValue) return this.#lastPosition;
    let position = value === '' ? 0 : this.#positions.get(value);
    if (position === undefined) {
      position = this.#keys.length;
      this.#keys.push(value);
      this.#positions.set(value, position);
    }
    this.#lastValue = value;
    this.#lastPosition = position;
    return position;
  }

  writePrefix(to: ByteBuffer): void {
    to.u64(SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS);
  }

  writeValues({ small: to }: BlockWriter): void {
    const keys = this.#keys.length;
    const width = keys <= 0x100 ? INDEX_WIDTH.u8 : keys <= 0x1_0000 ? INDEX_WIDTH.u16 : INDEX_WIDTH.u32;
    to.u64(HAS_ADDITIONAL_KEYS | NEEDS_UPDATE_DICTIONARY | width);
    to.u64(keys);
    for (const key of this.#keys) to.string(key);
    to.u64(this.#count);
    const rows = this.#rows.subarray(0, this.#count);
    if (width === INDEX_WIDTH.u8) to.append(Uint8Array.from(rows));
    else to.append(new Uint8Array((width === INDEX_WIDTH.u16 ? Uint16Array.from(rows) : rows.slice()).buffer));
  }

  clear(): void {
    this.#positions.clear();
    this.#keys.length = 1;
    this.#count = 0;
    this.#lastValue = '';
    this.#lastPosition = 0;
    this.#recentBytes.fill(undefined);
  }
}

/** Array(T): where each row's elements end, then all elements in one column. */
export class ArrayColumn<Element extends Column> implements Column {
  readonly type: string;
  readonly #offsets = new UInt64Column();
  readonly #elements: Element;
  #end = 0;

  constructor(elements: Element) {
    this.#elements = elements;
    this.type = `Array(${elements.type})`;
  }

  /** Closes a row of `count` elements and hands out the column to append exactly that many to. */
  append(count: number): Element {
    this.#end += count;
    this.#offsets.append(this.#end);
    return this.#elements;
  }

  writePrefix(to: ByteBuffer): void {
    this.#elements.writePrefix(to);
  }

  writeValues(to: BlockWriter): void {
    this.#offsets.writeValues(to);
    if (this.#end > 0) this.#elements.writeValues(to);
  }

  clear(): void {
    this.#offsets.clear();
    this.#elements.clear();
    this.#end = 0;
  }
}
