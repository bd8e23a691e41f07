import type { Completeness } from '@agent-audit/schemas';
import type { Command } from 'commander';
import { onOneLine } from './answer.ts';
import type { Params } from './client.ts';
import { completenessLine } from './completeness.ts';
import { readSeen } from './event-cells.ts';
import { addFilters, filterParams } from './event-filters.ts';
import { eventTable } from './event-table.ts';
import { eventTimeline } from './event-timeline.ts';
import { CliError, EXIT } from './exit-codes.ts';
import type { Io } from './io.ts';
import { addPaging, clientOf, pageOptions, wantsJson, windowParams, type ListOptions, type WindowOptions } from './options.ts';
import { pages } from './pages.ts';

/** The options of a list of events. */
export function addWindow(command: Command, withoutFilters: readonly string[] = []): Command {
  command
    .requiredOption('--from <time>', 'begin of the window, included: RFC 3339, or relative such as -15m, -24h, -7d')
    .option('--to <time>', 'end of the window, not included (default: now)')
    .option('--order <order>', 'asc or desc, by event time (default: asc)');
  return addFilters(addPaging(command).option('--require-complete', 'exit 6 unless the record of the window is proven complete'), withoutFilters);
}

interface Options extends ListOptions, WindowOptions {
  readonly requireComplete?: boolean;
}

/** Asks for a list of events, shows it, and says what is known to be missing from it. */
export async function listEvents(command: Command, io: Io, path: string, columns: { readonly agent: boolean }): Promise<void> {
  const options = command.opts<Options>();
  const params: Params = [
    ...windowParams(options),
    ...filterParams(options as unknown as Record<string, unknown>),
  ];
  const client = await clientOf(command, io);
  const json = wantsJson(command);
  const printer = io.columns === undefined ? eventTable(io, columns) : eventTimeline(io, columns);
  let known: Completeness | undefined;
  let next: string | null = null;
  let shown = 0;
  for await (const page of pages(client, path, 'events', params, pageOptions(options))) {
    if (json) for (const item of page.items) await io.outLine(onOneLine(item).toString('utf8'));
    else if (page.items.length > 0) await printer.print(page.items.map(readSeen));
    shown += page.items.length;
    known = page.completeness;
    next = page.nextCursor;
  }
  if (shown === 0) io.say('No recorded event matches.');
  if (next !== null) io.say(`More events follow after these ${shown}: add --all, or read on with --cursor ${next}`);
  if (known !== undefined) io.say(io.paintError(known.status === 'complete' ? 'green' : 'yellow', completenessLine(known)));
  if (options.requireComplete === true && known?.status !== 'complete') {
    throw new CliError(EXIT.incomplete, 'the record of this window is not proven complete');
  }
}
