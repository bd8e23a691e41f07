import { describe, expect, test } from 'vitest';
import { isWrong, NOTHING_WRONG, Oracle, Positions, together, type Seen } from '../support/oracle.ts';

const RIGHT = { lost: [], repeated: [], altered: [], invented: [] };

function oracle(): Oracle {
  const made = new Oracle();
  for (const id of ['a', 'b', 'c']) made.sends(id, `raw ${id}`);
  made.acknowledges('a', 'raw a');
  made.acknowledges('b', 'raw b');
  return made;
}

const shown = (...ids: string[]): Seen[] => ids.map((id) => ({ id, raw: `raw ${id}` }));

describe('a list', () => {
  test('what was acknowledged must be there; what was not may be', () => {
    expect(oracle().check(shown('a', 'b'))).toEqual(RIGHT);
    expect(oracle().check(shown('c', 'b', 'a'))).toEqual(RIGHT);
  });

  test('tells a missing event', () => {
    expect(oracle().check(shown('a'))).toEqual({ ...RIGHT, lost: ['b'] });
    expect(oracle().check([])).toEqual({ ...RIGHT, lost: ['a', 'b'] });
  });

  test('tells an event that shows twice, acknowledged or not', () => {
    expect(oracle().check(shown('a', 'b', 'b'))).toEqual({ ...RIGHT, repeated: ['b'] });
    expect(oracle().check(shown('a', 'b', 'c', 'c'))).toEqual({ ...RIGHT, repeated: ['c'] });
  });

  test('tells other bytes', () => {
    expect(oracle().check([...shown('a'), { id: 'b', raw: 'raw  b' }])).toEqual({ ...RIGHT, altered: ['b'] });
  });

  test('tells what nobody sent', () => {
    expect(oracle().check(shown('a', 'b', 'd'))).toEqual({ ...RIGHT, invented: ['d'] });
  });

  test('of a window only shows what was sent in it', () => {
    const two = oracle();
    two.sends('d', 'raw d', 1);
    two.acknowledges('d', 'raw d');
    expect(two.check(shown('d'), 1)).toEqual(RIGHT);
    expect(two.check([], 1)).toEqual({ ...RIGHT, lost: ['d'] });
    expect(two.check(shown('a', 'b'))).toEqual({ ...RIGHT, lost: ['d'] });
  });

  test('must show every text of an id', () => {
    const two = oracle();
    two.sends('a', 'other a');
    two.acknowledges('a', 'other a');
    expect(two.check([...shown('a', 'b'), { id: 'a', raw: 'other a' }])).toEqual(RIGHT);
    expect(two.check(shown('a', 'b'))).toEqual({ ...RIGHT, lost: ['a'] });
    expect(two.check([...shown('a', 'b'), { id: 'a', raw: 'other a' }, { id: 'a', raw: 'other a' }])).toEqual({ ...RIGHT, repeated: ['a'] });
  });

  test('one text acknowledged twice is one event', () => {
    const twice = oracle();
    twice.sends('a', 'raw a');
    twice.acknowledges('a', 'raw a');
    expect(twice.acknowledged).toBe(2);
    expect(twice.sent).toBe(3);
  });
});

describe('what stands under one id', () => {
  const first = { id: 'a', raw: 'raw a', conflict: false };
  const second = { id: 'a', raw: 'other a', conflict: true };

  function conflict(): Oracle {
    const made = oracle();
    made.sends('a', 'other a');
    made.acknowledges('a', 'other a');
    return made;
  }

  test('the first acknowledged, and the others flagged', () => {
    expect(together([conflict().checkId('a', first, [second])])).toEqual(NOTHING_WRONG);
    expect(conflict().conflicting()).toEqual(['a']);
  });

  test('tells that the first gave way', () => {
    expect(conflict().checkId('a', { ...second, conflict: false }, [{ ...first, conflict: true }])).toMatchObject({ replaced: ['a'] });
  });

  test('tells a flag that is missing, and one too many', () => {
    expect(conflict().checkId('a', first, [{ ...second, conflict: false }])).toMatchObject({ replaced: ['a'] });
    expect(conflict().checkId('a', { ...first, conflict: true }, [second])).toMatchObject({ replaced: ['a'] });
  });

  test('tells a conflict that is missing', () => {
    expect(conflict().checkId('a', first, [])).toMatchObject({ lost: ['a'] });
  });

  test('either may be first where both were under way', () => {
    const both = new Oracle();
    for (const raw of ['raw a', 'other a']) both.sends('a', raw);
    for (const raw of ['raw a', 'other a']) both.acknowledges('a', raw);
    expect(together([both.checkId('a', { ...second, conflict: false }, [{ ...first, conflict: true }])])).toEqual(NOTHING_WRONG);
  });
});

test('tells what is not in quarantine', () => {
  const refusing = oracle();
  refusing.refuses('{broken');
  expect(refusing.checkQuarantine(new Set(['{broken', 'more']))).toEqual({ unquarantined: [] });
  expect(refusing.checkQuarantine(new Set(['{broke']))).toEqual({ unquarantined: ['{broken'] });
});

describe('positions', () => {
  const positions = (...indexes: number[]): readonly string[] => {
    const made = new Positions();
    for (const index of indexes) made.take('t/c', index);
    return made.check().holes;
  };

  test('in any order, without holes', () => {
    expect(positions()).toEqual([]);
    expect(positions(2, 0, 1)).toEqual([]);
  });

  test('tells one that is missing, at the beginning too', () => {
    expect(positions(0, 1, 3)).toEqual(['t/c 2 missing']);
    expect(positions(1)).toEqual(['t/c 0 missing']);
  });

  test('tells one that was given out twice', () => {
    expect(positions(0, 1, 1)).toEqual(['t/c 1 twice']);
  });
});

test('one verdict out of several', () => {
  const verdict = together([{ lost: ['a'] }, { lost: ['a', 'b'], holes: ['x'] }]);
  expect(verdict).toEqual({ ...NOTHING_WRONG, lost: ['a', 'b'], holes: ['x'] });
  expect(isWrong(verdict)).toBe(true);
  expect(isWrong(NOTHING_WRONG)).toBe(false);
});
