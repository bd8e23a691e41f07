import { chainText, clock, outcomeCell, remarks, resourcesText, toolText, utc, type SeenEvent } from './event-cells.ts';
import type { EventPrinter } from './event-table.ts';
import type { Io } from './io.ts';
import { layOut, line, type Cell, type Column, type Row } from './table.ts';
import { cut, safe, wrap } from './terminal.ts';

const INDENT = ' '.repeat('14:33:07.123  '.length);
/** Narrower terminals have no room for the event's id: whole or not at all, as half an id finds nothing. */
const COLUMNS_FOR_ID = 110;
const NOTE_LINES = 4;

/**
 * For reading on a terminal: a line for the day, a line for the event, and below it what matters about it. On whose
 * behalf an agent acted is said when it changes.
 */
export function eventTimeline(io: Io, options: { readonly agent: boolean }): EventPrinter {
  const withId = (io.columns ?? 0) >= COLUMNS_FOR_ID;
  const columns: Column[] = [
    { title: '' },
    { title: '' },
    ...(options.agent ? [{ title: '', min: 24 }] : []),
    { title: '' },
    { title: '', min: 10, keep: true },
    { title: '', min: 10, keep: true },
    ...(withId ? [{ title: '' }] : []),
  ];
  let widths: number[] | undefined;
  let day = '';
  const chains = new Map<string, string>();

  const note = async ({ text, style = 'plain' }: Cell): Promise<void> => {
    const cells = (io.columns ?? Number.POSITIVE_INFINITY) - INDENT.length;
    const lines = wrap(text, cells);
    const last = Math.min(lines.length, NOTE_LINES) - 1;
    for (let i = 0; i <= last; i++) {
      // What does not fit into the last line is cut there.
      const part = i === last ? lines.slice(i).join(' ') : (lines[i] as string);
      await io.outLine(INDENT + io.paint(style, cut(part, cells)));
    }
  };

  /** The chain where it is another than that of the agent's event before. */
  const newChain = ({ event }: SeenEvent): string | undefined => {
    const chain = chainText(event);
    const before = chains.get(event.agent.id) ?? '';
    chains.set(event.agent.id, chain);
    if (chain === before) return undefined;
    return chain === '' ? 'on nobody\u2019s behalf' : `on behalf of ${chain}`;
  };

  return {
    async print(events) {
      const rows = events.map((seen) => toRow(seen, options.agent, withId));
      widths ??= layOut(columns, rows, io.columns);
      for (const [i, seen] of events.entries()) {
        const today = utc(seen.event.time).slice(0, 10);
        if (today !== day) {
          if (day !== '') await io.outLine('');
          await io.outLine(io.paint('bold', `${today} (UTC)`));
          day = today;
        }
        await io.outLine(line(rows[i] as Row, widths, io.paint, io.columns !== undefined));
        for (const remark of remarks(seen)) await note(remark);
        const chain = newChain(seen);
        if (chain !== undefined) await note({ text: chain, style: 'dim' });
      }
    },
  };
}

function toRow({ event }: SeenEvent, agent: boolean, withId: boolean): Row {
  return [
    { text: clock(utc(event.time)), style: 'dim' },
    outcomeCell(event),
    ...(agent ? [{ text: safe(event.agent.id), style: 'cyan', id: true } satisfies Cell] : []),
    { text: safe(event.action) },
    { text: withId ? toolText(event) : safe(event.tool?.name ?? '-'), style: 'bold' },
    { text: resourcesText(event) },
    ...(withId ? [{ text: safe(event.event_id), style: 'dim' } satisfies Cell] : []),
  ];
}
