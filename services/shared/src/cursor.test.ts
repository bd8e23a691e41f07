import { Problem } from './problem.ts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from './cursor.ts';

const Position = z.tuple([z.coerce.bigint(), z.string(), z.int().min(0)]);
const question = ['tenant', '/v1/events', '-1h', null, 'asc', { kind: { any: ['tool_call'], none: [] } }];

function code(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  return 'none';
}

describe('a cursor', () => {
  it('gives back the position for the same question', () => {
    fc.assert(
      fc.property(fc.bigInt(), fc.string(), fc.nat(), (ns, id, taken) => {
        expect(decodeCursor(question, encodeCursor(question, [`${ns}`, id, taken]), Position)).toEqual([ns, id, taken]);
      }),
    );
  });

  it('stands in a URL as it is', () => {
    expect(encodeCursor(question, ['1', 'ÿ🦉?&=/+', 0])).toMatch(/^[A-Za-z0-9._-]+$/);
  });

  it.each([
    ['another tenant', ['other', ...question.slice(1)]], ['another route', [question[0], '/v1/agents', ...question.slice(2)]], ['no question', undefined],
    ['the fields in another order', question.toReversed()],
  ])('is refused with %s', (_, other) => {
    expect(code(() => decodeCursor(other, encodeCursor(question, ['1', 'a', 0]), Position))).toBe('invalid_cursor');
  });

  it('is refused when any character of it was changed, left out or added', () => {
    const cursor = encodeCursor(question, ['1', 'a', 0]);
    for (let i = 0; i < cursor.length; i++) {
      for (const changed of [`${cursor.slice(0, i)}${cursor[i] === 'A' ? 'B' : 'A'}${cursor.slice(i + 1)}`, cursor.slice(0, i) + cursor.slice(i + 1), `${cursor.slice(0, i)}=${cursor.slice(i)}`]) {
        expect(code(() => decodeCursor(question, changed, Position)), changed).toBe('invalid_cursor');
      }
    }
  });

  it.each(['', '.', 'x', 'a.b', '..', 'null', encodeCursor(question, ['1', 'a', 0]).split('.')[1] as string])('is refused when it is %j', (text) => {
    expect(code(() => decodeCursor(question, text, Position))).toBe('invalid_cursor');
  });

  it.each([[null], [[]], [['x', 'a', 0]], [['1', 'a', -1]], [['1', 'a']], [{ length: 3 }], ['text']])('is refused when it holds %j under a right seal', (position) => {
    expect(code(() => decodeCursor(question, encodeCursor(question, position), Position))).toBe('invalid_cursor');
  });
});
