import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { indentJson } from './indent-json.ts';

it('indents as JSON.stringify does', () => {
  fc.assert(fc.property(fc.json(), (text) => {
    const value: unknown = JSON.parse(text);
    expect(indentJson(JSON.stringify(value))).toBe(JSON.stringify(value, null, 2));
  }));
});

it('keeps what a parse and a print would lose', () => {
  expect(indentJson('{"n":9223372036854775808,"e":1e400,"z":-0,"n":"\\u00e9\\"{,"}')).toBe('{\n  "n": 9223372036854775808,\n  "e": 1e400,\n  "z": -0,\n  "n": "\\u00e9\\"{,"\n}');
});

it('takes strings as long as an event may hold', () => {
  const long = JSON.stringify({ a: '\\"x'.repeat(100_000) });
  expect(indentJson(long)).toBe(`{\n  ${long.slice(1, -1).replace('":', '": ')}\n}`);
});
