import * as fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import {
  ArrayColumn, BlockWriter, BoolColumn, DateTime64Column, encodeBlock, EnumColumn, Float64Column, LowCardinalityColumn, NullableColumn,
  StringColumn, UInt16Column, UInt32Column, UInt64Column, UInt8Column, UuidColumn, type Column,
} from './index.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());

let tables = 0;

/**
 * Inserts the columns as one block into a table of their types and reads it back in order.
 *
 * @param read SQL for each column's value, as text
 */
async function roundTrip(columns: Readonly<Record<string, Column>>, rows: number, read: Readonly<Record<string, string>>): Promise<Record<string, string>[]> {
  const table = `t${++tables}`;
  const place = new UInt32Column();
  for (let i = 0; i < rows; i++) place.append(i);
  const all = { place, ...columns };
  await test.store.command(`CREATE TABLE ${table} (${Object.entries(all).map(([name, { type }]) => `${name} ${type}`).join(', ')}) ENGINE = Memory`);
  await test.store.insertNative(table, Object.keys(all), encodeBlock(all, rows), randomUUID());
  const shown = Object.entries(read).map(([name, sql]) => `${sql} AS ${name}_shown`);
  const found = await test.store.select(`SELECT ${shown.join(', ')} FROM ${table} ORDER BY place`, {}, z.record(z.string(), z.string()));
  await test.store.command(`DROP TABLE ${table} SYNC`);
  return found.map((row) => Object.fromEntries(Object.keys(read).map((name) => [name, row[`${name}_shown`] as string])));
}

/** As `roundTrip`, for one column. */
async function readBack(column: Column, rows: number, read = 'toString(v)'): Promise<string[]> {
  return (await roundTrip({ v: column }, rows, { v: read })).map(({ v }) => v as string);
}

/** Characters at the edges of the lengths that are written in another way or take another byte. */
const LENGTHS = [0, 1, 46, 47, 48, 49, 63, 64, 127, 128, 129, 16_383, 16_384, 70_000];
const WORDS = ['', 'a', 'žluťoučký kůň', '🦉', '\u{10ffff}', 'a\0b', '\0', '\n\r\t\\\'"', ' ', 'Ā'.repeat(63), `${'a'.repeat(62)}é`, `${'a'.repeat(64)}é`];
const STRINGS = [...WORDS, ...LENGTHS.map((length) => 'x'.repeat(length))];
const hex = (text: string | Uint8Array): string => Buffer.from(text as string).toString('hex').toUpperCase();

describe('an empty block', () => {
  it('is taken, and adds nothing', async () => {
    const columns = {
      a: new StringColumn(), b: new LowCardinalityColumn(), c: new ArrayColumn(new LowCardinalityColumn()), d: new NullableColumn(new Float64Column(), 0),
      e: new UuidColumn(), f: new EnumColumn(['x']), g: new DateTime64Column(9), h: new BoolColumn(),
    };
    expect(await roundTrip(columns, 0, { a: 'a' })).toEqual([]);
  });
});

describe('numbers', () => {
  it('UInt64', async () => {
    const column = new UInt64Column();
    const numbers = [0, 1, 255, 2 ** 32 - 1, 2 ** 32, 2 ** 52 + 1, Number.MAX_SAFE_INTEGER];
    const bigints = [0n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
    for (const value of numbers) column.append(value);
    for (const value of bigints) column.appendBigInt(value);
    expect(await readBack(column, numbers.length + bigints.length)).toEqual([...numbers, ...bigints].map(String));
  });

  it.each([
    ['UInt32', new UInt32Column(), [0, 1, 2 ** 31, 2 ** 32 - 1]],
    ['UInt16', new UInt16Column(), [0, 443, 65_535]],
    ['UInt8', new UInt8Column(), [0, 1, 128, 255]],
    ['Float64', new Float64Column(), [0, 0.1, -1.5, 41.7, Number.MIN_VALUE, Number.MAX_VALUE, 2 ** 53]],
  ])('%s', async (_, column, values) => {
    for (const value of values) column.append(value);
    expect((await readBack(column, values.length)).map(Number)).toEqual(values);
  });

  it('Bool', async () => {
    const column = new BoolColumn();
    column.append(true);
    column.append(false);
    expect(await readBack(column, 2)).toEqual(['true', 'false']);
  });

  it('Nullable', async () => {
    const column = new NullableColumn(new Float64Column(), 0);
    for (const value of [undefined, 0, 1.25, undefined]) column.append(value);
    expect(await readBack(column, 4, "ifNull(toString(v), 'null')")).toEqual(['null', '0', '1.25', 'null']);
  });

  it('more rows than the columns have room for at first', async () => {
    const columns = { a: new UInt64Column(), b: new UInt8Column(), c: new UInt16Column(), d: new UuidColumn(), e: new LowCardinalityColumn() };
    const rows = 10_000;
    const id = randomUUID();
    for (let i = 0; i < rows; i++) {
      columns.a.append(i);
      columns.b.append(i % 256);
      columns.c.append(i);
      columns.d.append(id);
      columns.e.append(`${i % 100}`);
    }
    const read = await roundTrip(columns, rows, { a: 'toString(a)', b: 'toString(b)', c: 'toString(c)', d: 'toString(d)', e: 'toString(e)' });
    expect(read.every((row, i) => row['a'] === `${i}` && row['b'] === `${i % 256}` && row['c'] === `${i}` && row['d'] === id && row['e'] === `${i % 100}`)).toBe(true);
    expect(read).toHaveLength(rows);
  });
});

describe('DateTime64', () => {
  it.each([
    ['1900-01-01 00:00:00.000000000', -2_208_988_800, 0],
    ['1969-12-31 23:59:59.999999999', -1, 999_999_999],
    ['1970-01-01 00:00:00.000000000', 0, 0],
    ['2026-11-22 14:33:07.123456789', 1_795_357_987, 123_456_789],
    ['2262-04-11 23:47:16.854775807', 9_223_372_036, 854_775_807],
  ])('%s', async (text, seconds, nanos) => {
    const column = new DateTime64Column(9);
    column.append(seconds, nanos);
    column.appendTicks(BigInt(seconds) * 1_000_000_000n + BigInt(nanos));
    expect(await readBack(column, 2)).toEqual([text, text]);
  });

  it('in microseconds', async () => {
    const column = new DateTime64Column(6);
    column.append(-1, 999_999);
    column.appendTicks(1_772_366_400_000_001n);
    expect(await readBack(column, 2)).toEqual(['1969-12-31 23:59:59.999999', '2026-03-01 12:00:00.000001']);
  });
});

describe('String', () => {
  it('of any length and any characters', async () => {
    const column = new StringColumn();
    for (const text of STRINGS) column.append(text);
    expect(await readBack(column, STRINGS.length, 'hex(v)')).toEqual(STRINGS.map(hex));
  });

  it('of bytes, also those that are not UTF-8, also from the middle of others', async () => {
    const column = new StringColumn();
    const broken = Buffer.from([0xff, 0x00, 0xc3, 0x28, 0x80]);
    const around = Buffer.concat([Buffer.from('<'), broken, Buffer.from('>')]);
    column.appendBytes(broken);
    column.appendBytes(around, 1, around.length - 1);
    column.appendBytes(around, 3, 3);
    column.appendBytes(new Uint8Array(broken));
    for (const text of STRINGS) column.appendBytes(Buffer.from(text));
    expect(await readBack(column, 4 + STRINGS.length, 'hex(v)')).toEqual([hex(broken), hex(broken), '', hex(broken), ...STRINGS.map(hex)]);
  });
});

describe('LowCardinality', () => {
  it.each([1, 2, 254, 255, 256, 257, 65_534, 65_535, 65_536, 65_537])('with %i distinct values', async (distinct) => {
    const column = new LowCardinalityColumn();
    const rows = distinct + 3;
    for (let i = 0; i < rows; i++) column.append(`v${i % distinct}`);
    const read = await readBack(column, rows);
    expect(read).toHaveLength(rows);
    expect(read.findIndex((value, i) => value !== `v${i % distinct}`)).toBe(-1);
  });

  it('of nothing but empty values', async () => {
    const column = new LowCardinalityColumn();
    for (let i = 0; i < 3; i++) column.append('');
    expect(await readBack(column, 3)).toEqual(['', '', '']);
  });

  it('of any length and any characters, as text and as bytes', async () => {
    const texts = [...STRINGS, ...STRINGS.toReversed()];
    const columns = { text: new LowCardinalityColumn(), bytes: new LowCardinalityColumn() };
    for (const value of texts) {
      const source = Buffer.from(`<${value}>`);
      columns.text.append(value);
      columns.bytes.appendBytes(source, 1, source.length - 1);
    }
    expect(await roundTrip(columns, texts.length, { text: 'hex(toString(text))', bytes: 'hex(toString(bytes))' })).toEqual(texts.map((value) => ({ text: hex(value), bytes: hex(value) })));
  });

  it('writes the same block for text and for bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom('a', 'b', 'ab', 'ba', 'axb', 'ayb', ''), fc.string({ unit: 'binary', maxLength: 6 })), { maxLength: 200 }), (values) => {
        const text = new LowCardinalityColumn();
        const bytes = new LowCardinalityColumn();
        const whole = values.map((value) => value.toWellFormed());
        for (const value of whole) text.append(value);
        for (const value of whole) bytes.appendBytes(Buffer.from(value), 0, Buffer.byteLength(value));
        expect(Buffer.concat(encodeBlock({ v: bytes }, values.length))).toEqual(Buffer.concat(encodeBlock({ v: text }, values.length)));
      }),
      { numRuns: 300 },
    );
  });

  it('mixes text and bytes of the same values', async () => {
    const column = new LowCardinalityColumn();
    column.append('x');
    column.appendBytes(Buffer.from('x'), 0, 1);
    column.append('y');
    column.appendBytes(Buffer.from('x'), 0, 1);
    column.append('x');
    expect(await readBack(column, 5)).toEqual(['x', 'x', 'y', 'x', 'x']);
  });
});

describe('Array', () => {
  it('of strings, of numbers, of LowCardinality, with empty rows between', async () => {
    const rows = [[], ['a', ''], [], ['🦉', 'a', 'x'.repeat(200)], []];
    const columns = { s: new ArrayColumn(new StringColumn()), l: new ArrayColumn(new LowCardinalityColumn()), n: new ArrayColumn(new UInt64Column()) };
    for (const row of rows) {
      const [s, l, n] = [columns.s.append(row.length), columns.l.append(row.length), columns.n.append(row.length)];
      for (const value of row) {
        s.append(value);
        l.append(value);
        n.append(value.length);
      }
    }
    expect(await roundTrip(columns, rows.length, { s: 'toJSONString(s)', l: 'toJSONString(l)', n: "arrayStringConcat(n, ',')" })).toEqual(
      rows.map((row) => ({ s: JSON.stringify(row), l: JSON.stringify(row), n: row.map((value) => value.length).join(',') })),
    );
  });

  it('with no element at all', async () => {
    const columns = { s: new ArrayColumn(new StringColumn()), l: new ArrayColumn(new LowCardinalityColumn()) };
    for (const column of [columns.s, columns.l]) for (let i = 0; i < 3; i++) column.append(0);
    expect(await roundTrip(columns, 3, { s: 'toJSONString(s)', l: 'toJSONString(l)' })).toEqual([1, 2, 3].map(() => ({ s: '[]', l: '[]' })));
  });

  it('with LowCardinality of more than 256 values in one row', async () => {
    const column = new ArrayColumn(new LowCardinalityColumn());
    column.append(0);
    const elements = column.append(300);
    for (let i = 0; i < 300; i++) elements.append(`e${i}`);
    expect(await readBack(column, 2, "arrayStringConcat(v, ',')")).toEqual(['', Array.from({ length: 300 }, (_, i) => `e${i}`).join(',')]);
  });
});

describe('Enum8 and UUID', () => {
  it('Enum by name and by code', async () => {
    const column = new EnumColumn(['', 'allow'], 0);
    column.append('allow');
    column.append('');
    column.appendCode(1);
    expect(await readBack(column, 3)).toEqual(['allow', '', 'allow']);
  });

  it('UUID in every form', async () => {
    const column = new UuidColumn();
    const forms = ['019A7C1E-7F5B-7D53-8C11-0123456789AB', '019a7c1e7f5b7d538c110123456789ab', '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'];
    for (const form of forms) column.append(form);
    expect(await readBack(column, 4)).toEqual(['019a7c1e-7f5b-7d53-8c11-0123456789ab', '019a7c1e-7f5b-7d53-8c11-0123456789ab', forms[2], forms[3]]);
  });
});

const newColumns = () => ({
  string: new StringColumn(),
  u64: new UInt64Column(),
  u32: new UInt32Column(),
  u16: new UInt16Column(),
  u8: new UInt8Column(),
  bool: new BoolColumn(),
  float: new NullableColumn(new Float64Column(), 0),
  time: new DateTime64Column(9),
  kind: new EnumColumn(['a', 'b', 'c']),
  uuid: new UuidColumn(),
  low: new LowCardinalityColumn(),
  strings: new ArrayColumn(new StringColumn()),
  lows: new ArrayColumn(new LowCardinalityColumn()),
  numbers: new ArrayColumn(new UInt64Column()),
});

/** Every value as text that JavaScript and the engine write alike. */
const READ = {
  string: 'hex(string)', u64: 'toString(u64)', u32: 'toString(u32)', u16: 'toString(u16)', u8: 'toString(u8)', bool: 'toString(bool)',
  float: "ifNull(hex(reinterpretAsString(float)), 'null')", time: 'toString(toUnixTimestamp64Nano(time))', kind: 'toString(kind)', uuid: 'toString(uuid)',
  low: 'hex(toString(low))', strings: "arrayStringConcat(arrayMap(v -> hex(v), strings), ',')", lows: "arrayStringConcat(arrayMap(v -> hex(toString(v)), lows), ',')",
  numbers: "arrayStringConcat(numbers, ',')",
};

const text = fc.oneof(fc.constantFrom('', 'a', 'b', 'tool'), fc.string({ unit: 'binary', maxLength: 80 }).map((value) => value.toWellFormed()));
const row = fc.record({
  string: fc.uint8Array({ maxLength: 200 }),
  u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  u32: fc.nat(0xffff_ffff),
  u16: fc.nat(0xffff),
  u8: fc.nat(0xff),
  bool: fc.boolean(),
  float: fc.option(fc.double({ noNaN: true }), { nil: undefined }),
  seconds: fc.integer({ min: -2_208_988_800, max: 9_223_372_035 }),
  nanos: fc.nat(999_999_999),
  kind: fc.constantFrom('a' as const, 'b' as const, 'c' as const),
  uuid: fc.uuid(),
  low: text,
  strings: fc.array(text, { maxLength: 5 }),
  lows: fc.array(text, { maxLength: 5 }),
  numbers: fc.array(fc.maxSafeNat(), { maxLength: 5 }),
});

function float64Hex(value: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  // The engine leaves trailing zero bytes out.
  return bytes.toString('hex').toUpperCase().replace(/(?:00)+$/, '');
}

describe('all columns at once', () => {
  it('come back as they went in, from buffers that are used again', async () => {
    const columns = newColumns();
    const out = new BlockWriter();
    await test.store.command(`CREATE TABLE everything (place UInt32, ${Object.entries(columns).map(([name, { type }]) => `${name} ${type}`).join(', ')}) ENGINE = Memory`);
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 20 }), async (rows) => {
        const place = new UInt32Column();
        rows.forEach((value, i) => {
          place.append(i);
          columns.string.appendBytes(value.string);
          columns.u64.appendBigInt(value.u64);
          columns.u32.append(value.u32);
          columns.u16.append(value.u16);
          columns.u8.append(value.u8);
          columns.bool.append(value.bool);
          columns.float.append(value.float);
          columns.time.append(value.seconds, value.nanos);
          columns.kind.append(value.kind);
          columns.uuid.append(value.uuid);
          columns.low.append(value.low);
          const [strings, lows, numbers] = [columns.strings.append(value.strings.length), columns.lows.append(value.lows.length), columns.numbers.append(value.numbers.length)];
          for (const element of value.strings) strings.append(element);
          for (const element of value.lows) lows.append(element);
          for (const element of value.numbers) numbers.append(element);
        });
        await test.store.command('TRUNCATE TABLE everything');
        const block = encodeBlock({ place, ...columns }, rows.length, out);
        await test.store.insertNative('everything', ['place', ...Object.keys(columns)], block, randomUUID());
        for (const column of Object.values(columns)) column.clear();
        const shown = Object.entries(READ).map(([name, sql]) => `${sql} AS ${name}_shown`);
        const found = await test.store.select(`SELECT ${shown.join(', ')} FROM everything ORDER BY place`, {}, z.record(z.string(), z.string()));
        const expected = rows.map((value) => ({
          string_shown: hex(value.string), u64_shown: `${value.u64}`, u32_shown: `${value.u32}`, u16_shown: `${value.u16}`, u8_shown: `${value.u8}`, bool_shown: `${value.bool}`,
          float_shown: value.float === undefined ? 'null' : float64Hex(value.float),
          time_shown: `${BigInt(value.seconds) * 1_000_000_000n + BigInt(value.nanos)}`, kind_shown: value.kind, uuid_shown: value.uuid, low_shown: hex(value.low),
          strings_shown: value.strings.map(hex).join(','), lows_shown: value.lows.map(hex).join(','), numbers_shown: value.numbers.join(','),
        }));
        expect(found).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });
});
