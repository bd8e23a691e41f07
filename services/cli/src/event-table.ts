import { chainText, outcomeCell, remarks, resourcesText, toolText, utc, type SeenEvent } from './event-cells.ts';
import type { Io } from './io.ts';
import { header, layOut, line, type Cell, type Column, type Row } from './table.ts';
import { safe } from './terminal.ts';

/** Prints pages of events. What one page looks like may depend on the pages before. */
export interface EventPrinter {
  print(events: readonly SeenEvent[]): Promise<void>;
}

const MIN = 6;

/** One line an event; columns are laid out by the first page, so that they stay where they are. */
export function eventTable(io: Io, options: { readonly agent: boolean }): EventPrinter {
  const columns: Column[] = [
    { title: 'TIME (UTC)' },
    { title: 'OUTCOME' },
    ...(options.agent ? [{ title: 'AGENT', min: MIN }] : []),
    { title: 'ACTION' },
    { title: 'TOOL', min: MIN },
    { title: 'RESOURCES', min: MIN },
    { title: 'REMARKS', min: MIN },
    { title: 'ON BEHALF OF', min: MIN },
    { title: 'EVENT', min: MIN },
  ];
  let widths: number[] | undefined;
  return {
    async print(events) {
      const rows = events.map((seen) => toRow(seen, options.agent, io.columns !== undefined));
      if (widths === undefined) {
        widths = layOut(columns, rows, io.columns);
        await io.outLine(header(columns, widths, io.paint));
      }
      for (const row of rows) await io.outLine(line(row, widths, io.paint, io.columns !== undefined));
    },
  };
}

function toRow(seen: SeenEvent, agent: boolean, onTerminal: boolean): Row {
  const { event } = seen;
  const found = remarks(seen);
  const time = utc(event.time);
  const remark: Cell = { text: found.map(({ text }) => text).join('; ') || '-', style: found[0]?.style ?? 'plain' };
  return [
    // A terminal has no room for nanoseconds.
    { text: onTerminal ? time.slice(0, 19).replace('T', ' ') : time },
    outcomeCell(event),
    ...(agent ? [{ text: safe(event.agent.id), style: 'bold' } satisfies Cell] : []),
    { text: safe(event.action) },
    { text: toolText(event) },
    { text: resourcesText(event) },
    remark,
    { text: chainText(event) || '-' },
    { text: safe(event.event_id), style: 'dim' },
  ];
}
