import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatNanos, fromNanos, isStorable, parseMoment, parseTime, toNanos } from './time.ts';

const nanos = (text: string): bigint => {
  const time = parseTime(text);
  if (!time.ok) throw new Error(time.code);
  return toNanos(time);
};
const MIN = -2_208_988_800_000_000_000n;
const MAX = 2n ** 63n - 1n;

describe('parseTime', () => {
  it.each([
    ['1970-01-01T00:00:00Z', 0n],
    ['1970-01-01T00:00:00.000000001Z', 1n],
    ['1969-12-31T23:59:59.999999999Z', -1n],
    ['1970-01-01t01:00:00.5+01:00', 500_000_000n],
    ['1969-12-31T18:30:00-05:30', 0n],
    ['1970-01-01T00:00:00-00:00', 0n],
    ['2000-02-29T12:00:00z', 951_825_600_000_000_000n],
    ['1900-01-01T00:00:00Z', MIN],
    ['1900-01-01T01:00:00+01:00', MIN],
    ['2262-04-11T23:47:16.854775807Z', MAX],
  ])('%s', (text, expected) => expect(nanos(text)).toBe(expected));

  it.each([
    '', 'now', '2026-11-22', '2026-11-22T14:33:07', '2026-11-22 14:33:07Z', '2026-11-22T14:33Z', '2026-11-22T14:33:07.Z',
    '2026-11-22T14:33:07.1234567890Z', '2026-11-22T14:33:07,5Z', '2026-11-22T14:33:07+0100', '2026-11-22T14:33:07+01:0', '2026-11-22T14:33:07+24:00',
    '2026-11-22T14:33:07+01:60', '2026-11-22T24:00:00Z', '2026-11-22T23:60:00Z', '2026-11-22T23:59:60Z', '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z', '2026-01-00T00:00:00Z', '2026-01-32T00:00:00Z', '2026-04-31T00:00:00Z', '2023-02-29T00:00:00Z',
    '2100-02-29T00:00:00Z', '+2026-11-22T14:33:07Z', '2026-11-22T14:33:07Z ', ' 2026-11-22T14:33:07Z', '2026-11-22T14:33:07ZZ',
    '２026-11-22T14:33:07Z', '2026-11-22T14:33:07.5', '2026-1-022T14:33:07Z',
  ])('refuses %j', (text) => expect(parseTime(text)).toMatchObject({ ok: false, code: 'invalid_time' }));

  it.each(['1899-12-31T23:59:59.999999999Z', '1900-01-01T00:00:00+00:01', '2262-04-11T23:47:16.854775808Z', '0000-01-01T00:00:00Z', '9999-12-31T23:59:59Z'])(
    'out of range: %s', (text) => expect(parseTime(text)).toMatchObject({ ok: false, code: 'time_out_of_range' }));

  it('agrees with Date wherever Date can tell', () => {
    fc.assert(fc.property(fc.date({ min: new Date('1900-01-01'), max: new Date('2262-04-11'), noInvalidDate: true }), (date) => {
      expect(nanos(date.toISOString())).toBe(BigInt(date.getTime()) * 1_000_000n);
    }));
  });

  it('gives back what formatNanos wrote, in any zone', () => {
    fc.assert(fc.property(fc.bigInt(MIN, MAX), (ns) => {
      const text = formatNanos(ns);
      expect(nanos(text)).toBe(ns);
      expect(text).toMatch(/T\d\d:\d\d:\d\d(?:\.(?:\d{3}){1,3})?Z$/);
      expect(toNanos(fromNanos(ns))).toBe(ns);
      expect(isStorable(ns)).toBe(true);
    }));
    expect(isStorable(MIN - 1n) || isStorable(MAX + 1n)).toBe(false);
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'0123456789-:.TtZz+ ') , maxLength: 40 }), (text) => {
      const time = parseTime(text);
      if (time.ok) expect(nanos(formatNanos(toNanos(time)))).toBe(toNanos(time));
    }));
  });
});

describe('formatNanos', () => {
  it.each([
    [0n, '1970-01-01T00:00:00Z'], [-1n, '1969-12-31T23:59:59.999999999Z'], [1_000_000n, '1970-01-01T00:00:00.001Z'],
    [1_001_000n, '1970-01-01T00:00:00.001001Z'], [MAX, '2262-04-11T23:47:16.854775807Z'],
  ])('%s', (ns, text) => expect(formatNanos(ns)).toBe(text));
});

describe('parseMoment', () => {
  const now = nanos('2026-11-22T12:00:00.5Z');
  it.each([
    ['now', '2026-11-22T12:00:00.500Z'], ['-30s', '2026-11-22T11:59:30.500Z'], ['-15m', '2026-11-22T11:45:00.500Z'],
    ['-24h', '2026-11-21T12:00:00.500Z'], ['-7d', '2026-11-15T12:00:00.500Z'], ['-2w', '2026-11-08T12:00:00.500Z'],
    ['2026-11-22T13:00:00+01:00', '2026-11-22T12:00:00Z'], ['2026-11-22T13:00:00 01:00', '2026-11-22T12:00:00Z'],
  ])('%s', (text, expected) => {
    const moment = parseMoment(text, now);
    expect(moment.ok && formatNanos(moment.ns)).toBe(expected);
  });
  it.each(['', '-', '15m', '-1.5h', '-1y', 'yesterday', '2026-11-22'])('refuses %j', (text) =>
    expect(parseMoment(text, now)).toMatchObject({ ok: false, code: 'invalid_time' }));
  it('refuses what cannot be stored', () => expect(parseMoment('-999999999w', now)).toMatchObject({ ok: false, code: 'time_out_of_range' }));
});
