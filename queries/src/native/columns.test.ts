import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockWriter, DateTime64Column, EnumColumn, UInt64Column, UuidColumn, type Column } from './index.ts';

const MIN_SECONDS = -2_208_988_800;
const MAX_SECONDS = 9_223_372_036;

function valuesOf(column: Column): Buffer {
  const writer = new BlockWriter();
  column.writePrefix(writer.small);
  column.writeValues(writer);
  return Buffer.concat(writer.parts());
}

describe('DateTime64Column', () => {
  const perSecond = { 3: 1000, 6: 1_000_000, 9: 1_000_000_000 } as const;

  for (const precision of [3, 6, 9] as const) {
    const last = precision === 9 ? MAX_SECONDS - 1 : MAX_SECONDS;

    it(`counts seconds and ticks of precision ${precision} as BigInt does`, () => {
      fc.assert(
        fc.property(fc.integer({ min: MIN_SECONDS, max: last }), fc.integer({ min: 0, max: perSecond[precision] - 1 }), (seconds, fraction) => {
          const column = new DateTime64Column(precision);
          column.append(seconds, fraction);
          expect(valuesOf(column).readBigInt64LE()).toBe(BigInt(seconds) * BigInt(perSecond[precision]) + BigInt(fraction));
        }),
        { numRuns: 2000 },
      );
    });
  }

  it.each([
    ['1900-01-01T00:00:00Z', MIN_SECONDS, 0, -2_208_988_800_000_000_000n],
    ['a nanosecond before 1970', -1, 999_999_999, -1n],
    ['1970', 0, 0, 0n],
    ['the last moment there is', MAX_SECONDS, 854_775_807, 2n ** 63n - 1n],
    ['where the low word turns over', 4, 294_967_295, 2n ** 32n - 1n],
    ['just after it', 4, 294_967_296, 2n ** 32n],
  ])('%s', (_, seconds, fraction, ticks) => {
    const column = new DateTime64Column(9);
    column.append(seconds, fraction);
    column.appendTicks(ticks);
    expect(valuesOf(column).readBigInt64LE(0)).toBe(ticks);
    expect(valuesOf(column).readBigInt64LE(8)).toBe(ticks);
  });
});

describe('UInt64Column', () => {
  it('puts the lower word first', () => {
    const column = new UInt64Column();
    column.append(0x0001_0203_0405_0607);
    expect(valuesOf(column).toString('hex')).toBe('0706050403020100');
  });

  it('takes the same number as a number and as a bigint', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const column = new UInt64Column();
        column.append(value);
        column.appendBigInt(BigInt(value));
        expect(valuesOf(column).readBigUInt64LE(0)).toBe(BigInt(value));
        expect(valuesOf(column).readBigUInt64LE(8)).toBe(BigInt(value));
      }),
      { numRuns: 1000 },
    );
  });

  it('holds all of 2^64 - 1', () => {
    const column = new UInt64Column();
    column.appendBigInt(2n ** 64n - 1n);
    expect(valuesOf(column).readBigUInt64LE()).toBe(2n ** 64n - 1n);
  });

  it('grows past its first words', () => {
    const column = new UInt64Column();
    for (let i = 0; i < 5000; i++) column.append(i);
    const values = valuesOf(column);
    expect(values.length).toBe(40_000);
    for (let i = 0; i < 5000; i++) expect(values.readUInt32LE(i * 8)).toBe(i);
  });
});

describe('EnumColumn', () => {
  it('refuses a name that the type does not have', () => {
    const column = new EnumColumn(['read', 'write']);
    expect(() => column.append('delete' as 'read')).toThrow(RangeError);
    expect(valuesOf(column)).toHaveLength(0);
  });

  it('names its type as the server does', () => {
    expect(new EnumColumn(['', 'allow'], 0).type).toBe("Enum8('' = 0, 'allow' = 1)");
  });
});

describe('UuidColumn', () => {
  it.each(['', 'x', '0196', '00000000-0000-0000-0000-00000000000g', '00000000-0000-0000-0000-0000000000000'])('refuses %j', (text) => {
    expect(() => new UuidColumn().append(text)).toThrow(RangeError);
  });

  it('refuses it also behind a right one', () => {
    const column = new UuidColumn();
    column.append('019a7c1e-7f5b-7d53-8c11-0123456789ab');
    expect(() => column.append('019a7c1e')).toThrow(RangeError);
    column.append('019a7c1e-7f5b-7d53-8c11-0123456789ab');
    expect(valuesOf(column)).toHaveLength(32);
  });
});

describe('BlockWriter', () => {
  it('puts what is copied and what is referred to in the order in which they came', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ long: fc.boolean(), bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }), times: fc.integer({ min: 1, max: 1000 }) }), { maxLength: 20 }), (pieces) => {
        const writer = new BlockWriter();
        for (let use = 0; use < 2; use++) {
          writer.clear();
          const expected = pieces.map(({ bytes, times }) => Buffer.concat(Array.from({ length: times }, () => bytes)));
          pieces.forEach(({ long }, i) => {
            if (long) writer.refer(expected[i] as Buffer);
            else writer.small.append(expected[i] as Buffer);
          });
          expect(Buffer.concat(writer.parts())).toEqual(Buffer.concat(expected));
        }
      }),
    );
  });
});
