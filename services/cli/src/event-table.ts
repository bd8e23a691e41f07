import { chainText, outcomeCell, remarks, resourcesText, toolText, utc, type SeenEvent } from './event-cells.ts';
import type { Io } from './io.ts';
import { header, layOut, line, type Cell, type Column, type Row } from './table.ts';
import { safe } from './terminal.ts';

/** Prints pages of events. What one page looks like may depend on the pages before. */
export interface EventPrinter {
  print(events: readonly SeenEvent[]): Promise<void>;
}

/** For pipes and files: one whole line an event. Columns are laid out by the first page, so that they stay where they are. */
export function eventTable(io: Io, options: { readonly agent: boolean }): EventPrinter {
  const columns: Column[] = [
    { title: 'TIME (UTC)' },
    { title: 'OUTCOME' },
    ...(options.agent ? [{ title: 'AGENT' }] : []),
    { title: 'ACTION' },
    { title: 'TOOL' },
    { title: 'RESOURCES' },
    { title: 'REMARKS' },
    { title: 'ON BEHALF OF' },
    { title: 'EVENT' },
  ];
  let widths: number[] | undefined;
  return {
    async print(events) {
      const rows = events.map((seen) => toRow(seen, options.agent));
      if (widths === undefined) {
        widths = layOut(columns, rows, undefined);
        await io.outLine(header(columns, widths, io.paint));
      }
      for (const row of rows) await io.outLine(line(row, widths, io.paint, false));
    },
  };
}

function toRow(seen: SeenEvent, agent: boolean): Row {
  const { event } = seen;
  const found = remarks(seen);
  const remark: Cell = { text: found.map(({ text }) => text).join('; ') || '-', style: found[0]?.style ?? 'plain' };
  return [
    { text: utc(event.time) },
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
