import { debuglog } from 'node:util';
import { CommanderError } from 'commander';
import { CliError, EXIT } from './exit-codes.ts';
import type { Io } from './io.ts';
import { createProgram } from './program.ts';
import { safe } from './terminal.ts';

const debug = debuglog('agent-audit');

/** Runs one command line. Everything that can go wrong becomes one line on standard error and an exit code. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  try {
    await createProgram(io).parseAsync([...args], { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    // Commander has printed what it had to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof CliError) {
      io.say(`agent-audit: ${error.message}`);
      return error.exitCode;
    }
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return EXIT.ok;
    io.say(`agent-audit: ${safe(error instanceof Error ? error.message : String(error))} (this is a mistake in agent-audit; NODE_DEBUG=agent-audit shows where)`);
    debug('%s', error instanceof Error ? error.stack : error);
    return EXIT.serverFailed;
  }
}
