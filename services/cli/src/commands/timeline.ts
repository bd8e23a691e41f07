import { Command } from 'commander';
import type { Io } from '../io.ts';
import { addWindow, listEvents } from '../list-events.ts';

export function timelineCommand(io: Io): Command {
  const command = new Command('timeline')
    .description('everything that one agent did between two moments')
    .argument('<agent_id>');
  return addWindow(command, ['agent_id']).action((agentId: string) =>
    listEvents(command, io, `/v1/agents/${encodeURIComponent(agentId)}/timeline`, { agent: false }));
}
