import { cut, cutMiddle, pad, widthOf, type Paint, type Style } from './terminal.ts';

export interface Cell {
  /** Already safe for a terminal. */
  readonly text: string;
  readonly style?: Style;
  /** An identifier: its end says as much as its beginning. */
  readonly id?: boolean;
}

export interface Column {
  readonly title: string;
  /** Narrowest that it may be made when the terminal is too narrow for all; absent: it is never made narrower. */
  readonly min?: number;
  /** Made narrower only when the others are as narrow as they may be. */
  readonly keep?: boolean;
}

export type Row = readonly Cell[];

const GAP = 2;
/** Without a terminal nothing is cut, but one long cell should not push a whole column to the right. */
const ALIGN_MAX = 60;

/** Widths of the columns for these rows: as wide as their content, narrowed to fit `columns` where that is given. */
export function layOut(columns: readonly Column[], rows: readonly Row[], terminalColumns: number | undefined): number[] {
  const widths = columns.map((column, i) =>
    rows.reduce((widest, row) => Math.max(widest, widthOf(row[i]?.text ?? '')), widthOf(column.title)));
  if (terminalColumns === undefined) return widths.map((width) => Math.min(width, ALIGN_MAX));
  let excess = widths.reduce((sum, width) => sum + width, GAP * (columns.length - 1)) - terminalColumns;
  for (const kept of [false, true]) {
    // The widest gives first, so that short columns stay whole.
    while (excess > 0) {
      let widest = -1;
      columns.forEach(({ min, keep = false }, i) => {
        if (keep !== kept || min === undefined || (widths[i] as number) <= min) return;
        if (widest === -1 || (widths[i] as number) > (widths[widest] as number)) widest = i;
      });
      if (widest === -1) break;
      widths[widest] = (widths[widest] as number) - 1;
      excess--;
    }
  }
  return widths;
}

export function header(columns: readonly Column[], widths: readonly number[], paint: Paint): string {
  return line(columns.map(({ title }): Cell => ({ text: title, style: 'dim' })), widths, paint, true);
}

/** One row. With `fit`, cells are cut to their column; else a long cell runs over. */
export function line(row: Row, widths: readonly number[], paint: Paint, fit: boolean): string {
  let last = row.length - 1;
  while (last > 0 && row[last]?.text === '') last--;
  return row
    .slice(0, last + 1)
    .map((cell, i) => {
      const width = widths[i] ?? 0;
      const text = !fit ? cell.text : cell.id === true ? cutMiddle(cell.text, width) : cut(cell.text, width);
      // Spaces stay outside of the colour; the last column needs none.
      const filled = i === last ? '' : pad('', width - widthOf(text));
      return paint(cell.style ?? 'plain', text) + filled;
    })
    .join(' '.repeat(GAP));
}
