import { EXIT } from './exit-codes.ts';
import { processIo } from './io.ts';
import { run } from './run.ts';

// A reader that has seen enough (`| head`) is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.serverFailed));
}
process.on('SIGINT', () => process.exit(EXIT.interrupted));

process.exitCode = await run(process.argv.slice(2), processIo());
