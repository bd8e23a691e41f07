import { QuarantineEntry, type FieldErrorShape } from '@agent-audit/schemas';
import { Command } from 'commander';
import type { z } from 'zod';
import { onOneLine } from '../answer.ts';
import { plural } from '../completeness.ts';
import type { Io } from '../io.ts';
import { addPaging, clientOf, pageOptions, wantsJson, windowParams, type ListOptions, type WindowOptions } from '../options.ts';
import { pages } from '../pages.ts';
import { header, layOut, line, type Column, type Row } from '../table.ts';
import { safe } from '../terminal.ts';

const COLUMNS: readonly Column[] = [
  { title: 'RECEIVED (UTC)' },
  { title: 'STATE' },
  { title: 'ID', min: 36, keep: true },
  { title: 'EVENT', min: 8 },
  { title: 'BYTES' },
  { title: 'ORIGIN', min: 8 },
  { title: 'WHY', min: 12 },
];

interface Options extends ListOptions, WindowOptions {
  readonly state?: string;
  readonly code?: string;
}

export function quarantineList(io: Io): Command {
  const command = addPaging(new Command('list').description('refused events by time of receipt, with the reasons'))
    .requiredOption('--from <time>', 'begin of the window, included: RFC 3339, or relative such as -15m, -24h, -7d')
    .option('--to <time>', 'end of the window, not included (default: now)')
    .option('--order <order>', 'asc or desc, by time of receipt (default: asc)')
    .option('--state <state>', 'quarantined or replayed (default: both)')
    .option('--code <code>', 'with an error of this code, such as too_big');
  return command.action(async () => {
    const options = command.opts<Options>();
    const client = await clientOf(command, io);
    const json = wantsJson(command);
    const params = [
      ...windowParams(options),
      ...(options.state === undefined ? [] : [['state', options.state] as const]),
      ...(options.code === undefined ? [] : [['code', options.code] as const]),
    ];
    let widths: number[] | undefined;
    let next: string | null = null;
    let shown = 0;
    for await (const page of pages(client, '/v1/quarantine', 'entries', params, pageOptions(options))) {
      next = page.nextCursor;
      shown += page.items.length;
      if (json) {
        for (const item of page.items) await io.outLine(onOneLine(item).toString('utf8'));
        continue;
      }
      const rows = page.items.map((item) => toRow(QuarantineEntry.parse(JSON.parse(item.toString('utf8')))));
      if (rows.length === 0) continue;
      if (widths === undefined) {
        widths = layOut(COLUMNS, rows, io.columns);
        await io.outLine(header(COLUMNS, widths, io.paint));
      }
      for (const row of rows) await io.outLine(line(row, widths, io.paint, io.columns !== undefined));
    }
    if (shown === 0) io.say('No refused event matches.');
    if (next !== null) io.say(`More follow after these ${shown}: add --all, or read on with --cursor ${next}`);
  });
}

function toRow(entry: QuarantineEntry): Row {
  return [
    { text: safe(entry.received_at.slice(0, 19).replace('T', ' ')) },
    { text: entry.state, style: entry.state === 'replayed' ? 'green' : 'yellow' },
    { text: safe(entry.id), id: true },
    { text: entry.event_id === null ? '-' : safe(entry.event_id), id: true },
    { text: entry.bytes.toLocaleString('en') },
    { text: safe(entry.origin) },
    { text: why(entry.errors) },
  ];
}

/** The first reason, and how many more there are. */
export function why(errors: readonly z.infer<typeof FieldErrorShape>[]): string {
  const [first] = errors;
  if (first === undefined) return '-';
  const more = errors.length > 1 ? ` (and ${plural(errors.length - 1, 'more error')})` : '';
  return safe(`${first.path === '' ? '' : `${first.path} `}${first.message}`) + more;
}
