import { chainText, clock, outcomeCell, remarks, resourcesText, toolText, utc, type SeenEvent } from './event-cells.ts';
import type { EventPrinter } from './event-table.ts';
import type { Io } from './io.ts';
import { layOut, line, type Cell, type Column, type Row } from './table.ts';
import { cut, safe } from './terminal.ts';

const COLUMNS: readonly Column[] = [
  { title: '' },
  { title: '' },
  { title: '' },
  { title: '', min: 10 },
  { title: '', min: 10 },
];
const INDENT = ' '.repeat('14:33:07.123  '.length);

/**
 * One agent's doings for reading on a terminal: a line for the day, a line for the event, and below it what matters
 * about it. On whose behalf it acted is said when it changes.
 */
export function eventTimeline(io: Io): EventPrinter {
  let widths: number[] | undefined;
  let day = '';
  let chain: string | undefined;
  const note = ({ text, style = 'plain' }: Cell): Promise<void> =>
    io.outLine(INDENT + io.paint(style, io.columns === undefined ? text : cut(text, io.columns - INDENT.length)));
  return {
    async print(events) {
      const rows = events.map(toRow);
      widths ??= layOut(COLUMNS, rows, io.columns);
      for (const [i, seen] of events.entries()) {
        const today = utc(seen.event.time).slice(0, 10);
        if (today !== day) await io.outLine(io.paint('bold', `${day === '' ? '' : '\n'}${today} (UTC)`));
        day = today;
        const behalf = chainText(seen.event);
        if (behalf !== chain && (behalf !== '' || chain !== undefined)) await note({ text: behalf === '' ? 'on nobody\u2019s behalf' : `on behalf of ${behalf}`, style: 'dim' });
        chain = behalf;
        await io.outLine(line(rows[i] as Row, widths, io.paint, io.columns !== undefined));
        for (const remark of remarks(seen)) await note(remark);
      }
    },
  };
}

function toRow({ event }: SeenEvent): Row {
  return [
    { text: clock(utc(event.time)), style: 'dim' },
    outcomeCell(event),
    { text: safe(event.action) },
    { text: toolText(event), style: 'bold' },
    { text: resourcesText(event) },
  ];
}
