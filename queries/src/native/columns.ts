import { ByteBuffer } from './byte-buffer.ts';

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
  writeValues(to: ByteBuffer): void;
  clear(): void;
}

abstract class PlainColumn implements Column {
  abstract readonly type: string;
  protected readonly buffer = new ByteBuffer();

  writePrefix(_to: ByteBuffer): void {
    // Plain columns have none.
  }

  writeValues(to: ByteBuffer): void {
    to.append(this.buffer.view());
  }

  clear(): void {
    this.buffer.clear();
  }
}

export class StringColumn extends PlainColumn {
  readonly type: string = 'String';

  append(value: string): void {
    this.buffer.string(value);
  }

  /** Any bytes, UTF-8 or not: ClickHouse's String is a byte string. */
  appendBytes(value: Uint8Array): void {
    this.buffer.stringBytes(value);
  }
}

export class UInt64Column extends PlainColumn {
  readonly type = 'UInt64';

  /** @param value an integer in 0 … 2^53 - 1 */
  append(value: number): void {
    this.buffer.u64(value);
  }

  appendBigInt(value: bigint): void {
    this.buffer.u64n(value);
  }
}

export class UInt32Column extends PlainColumn {
  readonly type = 'UInt32';

  append(value: number): void {
    this.buffer.u32(value);
  }
}

export class UInt16Column extends PlainColumn {
  readonly type = 'UInt16';

  append(value: number): void {
    this.buffer.u16(value);
  }
}

export class UInt8Column extends PlainColumn {
  readonly type = 'UInt8';

  append(value: number): void {
    this.buffer.u8(value);
  }
}

export class BoolColumn extends PlainColumn {
  readonly type = 'Bool';

  append(value: boolean): void {
    this.buffer.u8(value ? 1 : 0);
  }
}

export class Float64Column extends PlainColumn {
  readonly type = 'Float64';

  append(value: number): void {
    this.buffer.f64(value);
  }
}

/** DateTime64(precision, 'UTC'): an Int64 count of 10^-precision seconds since the Unix epoch. */
export class DateTime64Column extends PlainColumn {
  readonly type: string;

  constructor(precision: 3 | 6 | 9) {
    super();
    this.type = `DateTime64(${precision}, 'UTC')`;
  }

  append(ticks: bigint): void {
    this.buffer.i64n(ticks);
  }
}

/** Enum8 with the given names; a name's code is its place in the list, from `first` on. */
export class EnumColumn<Name extends string> extends PlainColumn {
  readonly type: string;
  readonly #codes: ReadonlyMap<string, number>;

  constructor(names: readonly Name[], first = 1) {
    super();
    this.#codes = new Map(names.map((name, i) => [name, first + i]));
    this.type = `Enum8(${names.map((name, i) => `'${name}' = ${first + i}`).join(', ')})`;
  }

  append(name: Name): void {
    const code = this.#codes.get(name);
    if (code === undefined) throw new RangeError(`'${name}' is not a value of ${this.type}`);
    this.buffer.u8(code);
  }
}

/** UUID: two little-endian UInt64 halves, the more significant one first. */
export class UuidColumn extends PlainColumn {
  readonly type = 'UUID';

  /** @param value 32 hexadecimal digits with or without hyphens */
  append(value: string): void {
    const digits = value.replaceAll('-', '');
    if (!/^[0-9a-fA-F]{32}$/.test(digits)) throw new RangeError(`not a UUID: ${JSON.stringify(value)}`);
    this.buffer.u64n(BigInt(`0x${digits.slice(0, 16)}`));
    this.buffer.u64n(BigInt(`0x${digits.slice(16)}`));
  }
}

export class NullableFloat64Column implements Column {
  readonly type = 'Nullable(Float64)';
  readonly #nulls = new ByteBuffer();
  readonly #values = new ByteBuffer();

  append(value: number | undefined): void {
    this.#nulls.u8(value === undefined ? 1 : 0);
    this.#values.f64(value ?? 0);
  }

  writePrefix(_to: ByteBuffer): void {
    // Nullable has no prefix of its own, nor has Float64.
  }

  writeValues(to: ByteBuffer): void {
    to.append(this.#nulls.view());
    to.append(this.#values.view());
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

  append(value: string): void {
    if (this.#count === this.#rows.length) {
      const grown = new Uint32Array(this.#count * 2);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    this.#rows[this.#count++] = this.#position(value);
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

  writeValues(to: ByteBuffer): void {
    const keys = this.#keys.length;
    const width = keys <= 0x100 ? INDEX_WIDTH.u8 : keys <= 0x1_0000 ? INDEX_WIDTH.u16 : INDEX_WIDTH.u32;
    to.u64(HAS_ADDITIONAL_KEYS | NEEDS_UPDATE_DICTIONARY | width);
    to.u64(keys);
    for (const key of this.#keys) to.string(key);
    to.u64(this.#count);
    const rows = this.#rows.subarray(0, this.#count);
    if (width === INDEX_WIDTH.u8) to.append(Uint8Array.from(rows));
    else if (width === INDEX_WIDTH.u16) for (const row of rows) to.u16(row);
    else for (const row of rows) to.u32(row);
  }

  clear(): void {
    this.#positions.clear();
    this.#keys.length = 1;
    this.#count = 0;
    this.#lastValue = '';
    this.#lastPosition = 0;
  }
}

/** Array(T): where each row's elements end, then all elements in one column. */
export class ArrayColumn<Element extends Column> implements Column {
  readonly type: string;
  readonly #offsets = new ByteBuffer();
  readonly #elements: Element;
  #end = 0;

  constructor(elements: Element) {
    this.#elements = elements;
    this.type = `Array(${elements.type})`;
  }

  /** Closes a row of `count` elements and hands out the column to append exactly that many to. */
  append(count: number): Element {
    this.#end += count;
    this.#offsets.u64(this.#end);
    return this.#elements;
  }

  writePrefix(to: ByteBuffer): void {
    this.#elements.writePrefix(to);
  }

  writeValues(to: ByteBuffer): void {
    to.append(this.#offsets.view());
    if (this.#end > 0) this.#elements.writeValues(to);
  }

  clear(): void {
    this.#offsets.clear();
    this.#elements.clear();
    this.#end = 0;
  }
}
