import { Command } from 'commander';
import { agentsCommand } from './commands/agents.ts';
import { bundleCommand } from './commands/bundle.ts';
import { completenessCommand } from './commands/completeness.ts';
import { eventCommand } from './commands/event.ts';
import { eventsCommand } from './commands/events.ts';
import { importCommand } from './commands/import.ts';
import { keysCommand } from './commands/keys.ts';
import { quarantineCommand } from './commands/quarantine.ts';
import { sendCommand } from './commands/send.ts';
import { timelineCommand } from './commands/timeline.ts';
import { verifyCommand } from './commands/verify.ts';
import { DEFAULT_URL } from './connection.ts';
import { describeExitCodes } from './exit-codes.ts';
import type { Io } from './io.ts';

const EXAMPLES = `
Examples:
  agent-audit timeline agent:support --from -2h
  agent-audit events --from -24h --outcome denied --not-tool healthcheck
  agent-audit events --from -7d --all --json > events.ndjson
  agent-audit import cloudtrail logs/*.json.gz
  agent-audit verify log --data-dir ./data --against-store --log-key log.vkey`;

export function createProgram(io: Io): Command {
  const program = new Command('agent-audit')
    .description('What did this agent actually do between these two moments?')
    .option('--url <url>', `the server (AGENT_AUDIT_URL; default: ${DEFAULT_URL})`)
    .option('--key-file <path>', 'file that holds the key (default: AGENT_AUDIT_KEY)')
    .option('--key <key>', 'the key itself; others on this machine can see it')
    .option('--json', 'for machines: the API\u2019s own answer, lists one item a line')
    .addHelpText('after', `${EXAMPLES}\n\n${describeExitCodes()}`)
    .showSuggestionAfterError();
  const commands = [timelineCommand, eventsCommand, eventCommand, completenessCommand, agentsCommand, importCommand, sendCommand, quarantineCommand, keysCommand, verifyCommand, bundleCommand];
  for (const make of commands) program.addCommand(make(io));
  everywhere(program);
  return program;
}

/** Settings that commander does not hand down to commands that were made by themselves. */
function everywhere(command: Command): void {
  command.exitOverride().helpCommand(false).configureHelp({ showGlobalOptions: true });
  for (const child of command.commands) everywhere(child);
}
