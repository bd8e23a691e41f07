import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstInvalidUtf8, memberRange, positionAt, scanEvent, splitArray, splitLines, type ScanResult } from './scan.ts';

const bytes = (text: string): Buffer => Buffer.from(text);
const scan = (text: string): ScanResult => scanEvent(bytes(text));
const slice = (buffer: Buffer, range: { start: number; end: number }): string => buffer.toString('utf8', range.start, range.end);

/** An array and an object by turns, `depth` levels in all. */
const nested = (depth: number): string => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Accepting means: nothing wrong, or only that which `JSON.parse` does not mind. */
const accepts = (result: ScanResult): boolean => result.ok || result.code === 'duplicate_key' || result.code === 'too_deep';

describe('scanEvent', () => {
  it.each([
    '{}', '[]', '0', '-0', '-0.0e-0', '1e400', '1E+2', '"\\u00e9\\n\\/"', 'true', ' null\r\n\t', '{"a":{"b":[1,[],{}]}}', '"\u2028\u007f"', '"\ud83d\ude00"',
  ])('accepts %j', (text) => expect(scan(text)).toMatchObject({ ok: true }));

  it.each([
    ['', 0], ['  ', 2], ['{', 1], ['{"a"', 4], ['{"a":', 5], ['{"a":1', 6], ['{"a":1,}', 7], ['{a:1}', 1], ["{'a':1}", 1], ['[1,]', 3],
    ['[1 2]', 3], ['01', 1], ['1.', 2], ['.5', 0], ['+1', 0], ['-', 1], ['1e', 2], ['0x10', 1], ['tru', 3], ['nulL', 3], ['NaN', 0],
    ['"a', 2], ['"a\n"', 2], ['"\\x"', 2], ['"\\u12g4"', 5], ['"\\', 2], ['"\\u12', 5], ['{} {}', 3], ['{]', 1], ['[}', 1], ['[1}', 2], ['{"a":1]', 6],
    ['\ufeff{}', 0], ['// c', 0], ['\u00a01', 0],
  ])('malformed %j at %i', (text, offset) => {
    expect(parses(text)).toBe(false);
    expect(scan(text)).toMatchObject({ ok: false, code: 'malformed_json', offset });
  });

  it('says where, counting lines and bytes from the start of the event', () => {
    const buffer = bytes('xx\n{"é": 1,\n "b": tru}');
    expect(scanEvent(buffer, 3)).toMatchObject({ code: 'malformed_json', line: 2, column: 10, path: '/b' });
    expect(positionAt(bytes('a\nb\nc'), 4)).toEqual({ line: 3, column: 1 });
  });

  it('limits nesting before anything recurses', () => {
    expect(scan(nested(64))).toMatchObject({ ok: true });
    expect(scan(nested(66))).toMatchObject({ code: 'too_deep', offset: 6 * 32 });
    expect(scanEvent(bytes(nested(66)), 0, undefined, 66)).toMatchObject({ ok: true });
    expect(scan('['.repeat(100_000))).toMatchObject({ code: 'too_deep', offset: 64 });
  });

  it.each([
    ['{"a":1,"a":2}', '/a'], ['{"a":1,"\\u0061":2}', '/a'], ['{"\\u0061":1,"a":2}', '/a'], ['{"":1,"":2}', '/'],
    ['{"x":[0,{"é":1,"\\u00e9":2}]}', '/x/1/é'], ['{"\\ud83d\\ude00":1,"😀":2}', '/😀'], ['{"a/b":{"k":1},"a\\/b":1}', '/a~1b'],
    ['{"__proto__":1,"__proto__":1}', '/__proto__'],
  ])('finds the duplicate in %s', (text, path) => expect(scan(text)).toMatchObject({ code: 'duplicate_key', path }));

  it.each(['{"a":{"a":{"a":1}}}', '[{"a":1},{"a":1}]', '{"a":{"x":1},"b":{"x":1}}', '{"\\ud800":1,"\\ud801":2}', '{"ab":1,"abb":2,"aab":3}'])(
    'sees no duplicate in %s', (text) => expect(scan(text)).toMatchObject({ ok: true }));

  it('stays linear over objects with very many keys', () => {
    const members = Array.from({ length: 100_000 }, (_, i) => `"k${i}":${i}`);
    expect(scan(`{${members.join(',')}}`)).toMatchObject({ ok: true });
    expect(scan(`{${members.join(',')},"\\u006b7":1}`)).toMatchObject({ code: 'duplicate_key', path: '/k7' });
  });

  it('tells of surrogate escapes and of text beyond ASCII', () => {
    expect(scan('["\\ud83d\\ude00"]')).toEqual({ ok: true, surrogates: true, ascii: true });
    expect(scan('["\\uDFFF"]')).toMatchObject({ surrogates: true });
    expect(scan('["\\ud7ff\\ue000 \\\\ud800 d800"]')).toMatchObject({ surrogates: false });
    expect(scan('["é"]')).toEqual({ ok: true, surrogates: false, ascii: false });
  });

  it('finds bytes that are not UTF-8', () => {
    expect(scanEvent(Buffer.from([0x22, 0x61, 0xff, 0x22]))).toMatchObject({ code: 'invalid_utf8', offset: 2 });
    // Two keys that would become alike only by replacement characters.
    expect(scanEvent(Buffer.from('7b22ff223a312c22fe223a317d', 'hex'))).toMatchObject({ code: 'invalid_utf8', offset: 2 });
    expect(firstInvalidUtf8(Buffer.from('61c3a9eda080', 'hex'))).toBe(3);
    expect(firstInvalidUtf8(Buffer.from('61e282', 'hex'))).toBe(1);
  });

  it('accepts exactly what JSON.parse accepts', () => {
    const noise = fc.constantFrom(...'{}[]",:\\u0123456789eE+-.tfn \n\u0000a', '\ud83d\ude00', '\\ud800', 'true', 'null');
    const edit = fc.record({ at: fc.nat(), drop: fc.nat(2), put: noise });
    const text = fc.tuple(fc.json({ maxDepth: 5 }), fc.array(edit, { maxLength: 3 })).map(([json, edits]) => {
      let out = json;
      for (const { at, drop, put } of edits) {
        const i = at % (out.length + 1);
        out = out.slice(0, i) + put + out.slice(i + drop);
      }
      return out.toWellFormed();
    });
    fc.assert(fc.property(text, (json) => accepts(scan(json)) === parses(json)), { numRuns: 3000 });
    fc.assert(fc.property(fc.array(noise, { maxLength: 12 }).map((parts) => parts.join('').toWellFormed()), (json) =>
      accepts(scan(json)) === parses(json)), { numRuns: 3000 });
  });

  it('sees a duplicate exactly when parsing drops a member', () => {
    const key = fc.constantFrom('a', 'b', '\\u0061', 'é', '\\u00e9', '__proto__', '');
    const object = fc.array(key, { maxLength: 20 });
    fc.assert(fc.property(object, (keys) => {
      const json = `{${keys.map((k, i) => `"${k}":${i}`).join(',')}}`;
      const kept = Object.keys(JSON.parse(json) as object).length;
      expect(scan(json).ok).toBe(kept === keys.length);
    }));
  });
});

describe('splitArray', () => {
  it('gives the exact bytes of each element', () => {
    fc.assert(fc.property(fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 8 }), fc.constantFrom(0, 2), (values, indent) => {
      const buffer = bytes(JSON.stringify(values, undefined, indent));
      const split = splitArray(buffer);
      expect(split.ok && split.elements.map((element) => JSON.parse(slice(buffer, element)) as unknown)).toEqual(JSON.parse(buffer.toString()));
    }));
  });

  it('keeps a bad element to itself', () => {
    const deep = `{"x":"]","y":${'['.repeat(70)}"}"${']'.repeat(70)}}`;
    const split = splitArray(bytes(`[{"a":1}, {"a":1,"a":2} ,${deep},{"b":2}]`));
    expect(split.ok && split.elements.map(({ scan: one }) => (one.ok ? 'ok' : one.code))).toEqual(['ok', 'duplicate_key', 'too_deep', 'ok']);
  });

  it.each([
    ['', 0, ''], ['{}', 0, ''], ['[', 1, '/0'], ['[{}', 3, '/0'], ['[{},]', 4, '/1'], ['[{} {}]', 4, '/0'], ['[1,{"a":}]', 8, '/1/a'], ['[] x', 3, ''], ['[1]]', 3, ''],
  ])('%j is malformed at %i', (text, offset, path) => expect(splitArray(bytes(text))).toMatchObject({ ok: false, code: 'malformed_json', offset, path }));

  it('names the line of the body', () => expect(splitArray(bytes('[\n {},\n {]\n]'))).toMatchObject({ line: 3, column: 3 }));
  it('skips a byte order mark', () => expect(splitArray(bytes('\ufeff[1]'))).toMatchObject({ ok: true, elements: [{ start: 4, end: 5 }] }));
  it('stops at too many', () => expect(splitArray(bytes('[1,2,3]'), 64, 2)).toMatchObject({ ok: false, code: 'too_many', offset: 5 }));
  it('survives nesting without end', () => expect(splitArray(bytes('['.repeat(100_000)))).toMatchObject({ ok: false, code: 'malformed_json' }));
});

describe('splitLines', () => {
  it('counts lines and leaves out blank ones', () => {
    const buffer = bytes('\ufeff{"a":1}\r\n\n  \n{"b":2}\n\r\n{"c":3}');
    expect(splitLines(buffer).map((line) => [line.line, slice(buffer, line)])).toEqual([[1, '{"a":1}'], [4, '{"b":2}'], [6, '{"c":3}']]);
    expect(splitLines(bytes(''))).toEqual([]);
  });
  it('stops one behind the limit', () => expect(splitLines(bytes('1\n2\n3\n4\n'), 2)).toHaveLength(3));
});

describe('memberRange', () => {
  it.each([
    ['{"data":{"a":"}"}}', '{"a":"}"}'], [' { "x" : [1,{"data":0}] , "d\\u0061ta" :  -1.5 }', '-1.5'], ['{"x":"\\"","data":"a\\\\"}', '"a\\\\"'], ['{"data":true}', 'true'],
  ])('%s', (text, expected) => {
    const buffer = bytes(text);
    const range = memberRange(buffer, { start: 0, end: buffer.length }, 'data');
    expect(range && slice(buffer, range)).toBe(expected);
  });
  it.each(['{}', '[]', '1', '{"x":{"data":1}}'])('none in %s', (text) =>
    expect(memberRange(bytes(text), { start: 0, end: text.length }, 'data')).toBeUndefined());
});
