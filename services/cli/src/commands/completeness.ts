import { Completeness, type EmitterCompleteness } from '@agent-audit/schemas';
import { Command } from 'commander';
import { notOurs } from '../client.ts';
import { completenessLine, ranges, timeOf } from '../completeness.ts';
import { CliError, EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { clientOf, wantsJson, windowParams, type WindowOptions } from '../options.ts';
import { header, layOut, line, type Column, type Row } from '../table.ts';
import { safe, type Style } from '../terminal.ts';

const COLUMNS: readonly Column[] = [
  { title: 'EMITTER', min: 12, keep: true },
  { title: 'INSTANCE', min: 8 },
  { title: 'STATUS' },
  { title: 'FIRST' },
  { title: 'LAST' },
  { title: 'MISSING', min: 12, keep: true },
  { title: 'USED TWICE', min: 10 },
  { title: 'STATE' },
  { title: 'HEARTBEAT (UTC)' },
];

const STYLES: Readonly<Record<Completeness['status'], Style>> = { complete: 'green', gaps: 'red', unknown: 'yellow' };

interface Options extends WindowOptions {
  readonly agentId?: readonly string[];
  readonly requireComplete?: boolean;
}

export function completenessCommand(io: Io): Command {
  const command = new Command('completeness')
    .description('what is known to be missing from a window: emitter by emitter, and when nobody was listening')
    .requiredOption('--from <time>', 'begin of the window, included: RFC 3339, or relative such as -15m, -24h, -7d')
    .option('--to <time>', 'end of the window, not included (default: now)')
    .option('--agent-id <id>', 'only what concerns this agent (repeat for or)', (id: string, ids: readonly string[] | undefined) => [...(ids ?? []), id])
    .option('--require-complete', 'exit 6 unless the record of the window is proven complete');
  return command.action(async () => {
    const options = command.opts<Options>();
    const client = await clientOf(command, io);
    const bytes = await client.ask('/v1/completeness', { params: [...windowParams(options), ...(options.agentId ?? []).map((id) => ['agent_id', id] as const)] });
    const known = read(bytes, client.url);
    if (wantsJson(command)) await io.outLine(bytes.toString('utf8').trimEnd());
    else await print(io, known);
    if (options.requireComplete === true && known.status !== 'complete') throw new CliError(EXIT.incomplete, 'the record of this window is not proven complete');
  });
}

function read(bytes: Buffer, url: string): Completeness {
  try {
    return Completeness.parse(JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    throw notOurs(url, error);
  }
}

async function print(io: Io, known: Completeness): Promise<void> {
  await io.outLine(io.paint(STYLES[known.status], completenessLine(known)));
  for (const [from, to] of known.downtime) await io.outLine(`Nothing was taken in from ${timeOf(from)} to ${timeOf(to)} UTC`);
  if (known.emitters.length === 0) return;
  const rows = known.emitters.map(toRow);
  const widths = layOut(COLUMNS, rows, io.columns);
  await io.outLine('');
  await io.outLine(header(COLUMNS, widths, io.paint));
  for (const row of rows) await io.outLine(line(row, widths, io.paint, io.columns !== undefined));
}

function toRow({ emitter, instance_id: instance, status, first, last, missing, duplicated, restarted, state, heartbeat }: EmitterCompleteness): Row {
  return [
    { text: safe(emitter), style: 'bold', id: true },
    { text: instance === null ? '-' : `${safe(instance)}${restarted ? ' (restarted)' : ''}`, id: true },
    { text: status, style: STYLES[status] },
    { text: first === null ? '-' : String(first) },
    { text: last === null ? '-' : String(last) },
    { text: missing.length === 0 ? '-' : ranges(missing) },
    { text: duplicated.length === 0 ? '-' : ranges(duplicated, 'number') },
    { text: state, style: state === 'silent' ? 'yellow' : 'plain' },
    { text: heartbeat === null ? '-' : timeOf(heartbeat.last_at) },
  ];
}
