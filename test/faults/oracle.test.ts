import { expect, test } from 'vitest';
import { NOTHING_WRONG, Oracle } from '../support/oracle.ts';

function oracle(): Oracle {
  const made = new Oracle();
  for (const id of ['a', 'b', 'c']) made.sends(id, `raw ${id}`);
  made.acknowledges('a');
  made.acknowledges('b');
  return made;
}

const shown = (...ids: string[]): { id: string; raw: string }[] => ids.map((id) => ({ id, raw: `raw ${id}` }));

test('what was acknowledged must be there; what was not may be', () => {
  expect(oracle().check(shown('a', 'b'))).toEqual(NOTHING_WRONG);
  expect(oracle().check(shown('c', 'b', 'a'))).toEqual(NOTHING_WRONG);
});

test('tells a missing event', () => {
  expect(oracle().check(shown('a'))).toEqual({ ...NOTHING_WRONG, lost: ['b'] });
  expect(oracle().check([])).toEqual({ ...NOTHING_WRONG, lost: ['a', 'b'] });
});

test('tells an event that shows twice, acknowledged or not', () => {
  expect(oracle().check(shown('a', 'b', 'b'))).toEqual({ ...NOTHING_WRONG, repeated: ['b'] });
  expect(oracle().check(shown('a', 'b', 'c', 'c'))).toEqual({ ...NOTHING_WRONG, repeated: ['c'] });
});

test('tells other bytes', () => {
  expect(oracle().check([...shown('a'), { id: 'b', raw: 'raw  b' }])).toEqual({ ...NOTHING_WRONG, altered: ['b'] });
});

test('tells what nobody sent', () => {
  expect(oracle().check(shown('a', 'b', 'd'))).toEqual({ ...NOTHING_WRONG, invented: ['d'] });
});
