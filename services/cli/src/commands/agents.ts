import { AgentSummary } from '@agent-audit/schemas';
import { Command } from 'commander';
import { onOneLine } from '../answer.ts';
import type { Io } from '../io.ts';
import { addPaging, clientOf, pageOptions, wantsJson, type ListOptions } from '../options.ts';
import { pages } from '../pages.ts';
import { header, layOut, line, type Column, type Row } from '../table.ts';
import { safe } from '../terminal.ts';

const COLUMNS: readonly Column[] = [
  { title: 'AGENT', min: 16, keep: true },
  { title: 'FIRST SEEN (UTC)' },
  { title: 'LAST SEEN (UTC)' },
  { title: 'EVENTS' },
  { title: 'TOOLS', min: 8 },
  { title: 'HOSTS', min: 8 },
  { title: 'ON BEHALF OF', min: 8 },
];

export function agentsCommand(io: Io): Command {
  const command = addPaging(new Command('agents').description('the agents that were seen'));
  return command.action(async () => {
    const client = await clientOf(command, io);
    const json = wantsJson(command);
    let widths: number[] | undefined;
    let next: string | null = null;
    let shown = 0;
    for await (const page of pages(client, '/v1/agents', 'agents', [], pageOptions(command.opts<ListOptions>()))) {
      next = page.nextCursor;
      shown += page.items.length;
      if (json) {
        for (const item of page.items) await io.outLine(onOneLine(item).toString('utf8'));
        continue;
      }
      const rows = page.items.map((item) => toRow(AgentSummary.parse(JSON.parse(item.toString('utf8')))));
      if (rows.length === 0) continue;
      if (widths === undefined) {
        widths = layOut(COLUMNS, rows, io.columns);
        await io.outLine(header(COLUMNS, widths, io.paint));
      }
      for (const row of rows) await io.outLine(line(row, widths, io.paint, io.columns !== undefined));
    }
    if (shown === 0) io.say('No agent was seen yet.');
    if (next !== null) io.say(`More agents follow after these ${shown}: add --all, or read on with --cursor ${next}`);
  });
}

const list = (values: readonly string[]): string => values.map(safe).join(', ') || '-';
const minute = (time: string): string => safe(time.slice(0, 16).replace('T', ' '));

function toRow(agent: AgentSummary): Row {
  return [
    { text: safe(agent.agent_id), style: 'bold', id: true },
    { text: minute(agent.first_seen) },
    { text: minute(agent.last_seen) },
    { text: agent.events.toLocaleString('en') },
    { text: list(agent.tools) },
    { text: list(agent.hosts) },
    { text: list(agent.principals) },
  ];
}
