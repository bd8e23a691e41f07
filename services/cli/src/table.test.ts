import { describe, expect, it } from 'vitest';
import { header, layOut, line } from './table.ts';
import { painter, widthOf } from './terminal.ts';

const plain = painter(false);
const columns = [{ title: 'ID' }, { title: 'NAME', min: 4 }, { title: 'AGENT', min: 6, keep: true }];
const row = [{ text: '1' }, { text: 'a long name that goes on' }, { text: 'agent:support-desk', id: true }];

describe('layOut', () => {
  it('gives each column what it needs without a terminal', () => {
    expect(layOut(columns, [row], undefined)).toEqual([2, 24, 18]);
  });

  it('narrows the columns that may give first, then those that would rather not', () => {
    expect(layOut(columns, [row], 40)).toEqual([2, 16, 18]);
    expect(layOut(columns, [row], 20)).toEqual([2, 4, 10]);
    expect(layOut(columns, [row], 5)).toEqual([2, 4, 6]);
  });
});

describe('line', () => {
  it('fits the terminal and leaves no space behind', () => {
    const widths = layOut(columns, [row], 30);
    expect(line(row, widths, plain, true)).toBe('1   a lon…  agent:support-desk');
    expect(widthOf(line(row, widths, plain, true))).toBe(30);
    expect(header(columns, widths, plain)).toBe('ID  NAME    AGENT');
    expect(line([{ text: 'x' }, { text: '' }, { text: '' }], widths, plain, true)).toBe('x');
  });

  it('cuts nothing without a terminal', () => {
    expect(line(row, [2, 3, 4], plain, false)).toContain('a long name that goes on  agent:support-desk');
  });
});
