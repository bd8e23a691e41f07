import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { plural } from './completeness.ts';
import { CliError, EXIT } from './exit-codes.ts';
import { batches, send, type Batch, type Tally } from './ingest.ts';
import type { Io } from './io.ts';
import { clientOf, wantsJson, wholeNumber } from './options.ts';
import { startProgress } from './progress.ts';
import { readRecords, type SourceRecord } from './read-records.ts';

interface SendOptions {
  readonly parallel: number;
  readonly retryFor: number;
}

export function addSending(command: Command): Command {
  return command
    .option('--parallel <n>', 'requests under way at a time', wholeNumber, 4)
    .option('--retry-for <seconds>', 'how long to go on when the server is away or full', wholeNumber, 60);
}

export interface Target {
  readonly path: string;
  readonly wrapper: string | undefined;
}

/** Sends files to the recording routes and says what became of their records. */
export async function sendFiles(command: Command, io: Io, files: readonly string[], { path, wrapper }: Target): Promise<void> {
  const { parallel, retryFor } = command.opts<SendOptions>();
  if (files.filter((file) => file === '-').length > 1) throw new CliError(EXIT.usage, '- (standard input) can be given once');
  const client = await clientOf(command, io);
  const tally: Tally = { accepted: 0, duplicates: 0, rejected: 0, reasons: [] };
  const progress = startProgress(io, await totalBytes(files));
  const unreadable: CliError[] = [];

  const records = async function* (): AsyncGenerator<SourceRecord> {
    for (const file of files) {
      try {
        yield* readRecords(file, io.stdin, { wrapper, onBytes: progress.read });
      } catch (error) {
        // One bad file does not keep the others from being recorded.
        if (!(error instanceof CliError)) throw error;
        unreadable.push(error);
        progress.say(error.message);
      }
    }
  };
  let lastWait = 0;
  const onWait = (why: string, ms: number): void => {
    // Parallel requests fail together; once is enough.
    if (Date.now() - lastWait < 1000) return;
    lastWait = Date.now();
    progress.say(`${why.replace(/\.$/, '')}; trying again in ${(ms / 1000).toFixed(1)} s`);
  };

  let failure: unknown;
  try {
    await inParallel(batches(records()), parallel, async (batch) => {
      await send(batch, tally, { client, path, retryForMs: retryFor * 1000, onWait });
      progress.sent(batch.records.length);
    });
  } catch (error) {
    failure = error;
  } finally {
    progress.stop();
  }
  await summarize(command, io, tally);
  if (failure instanceof CliError) throw new CliError(failure.exitCode, `${failure.message.replace(/\.$/, '')}. Not everything was sent; send the same again: what is recorded already counts as a duplicate`, { cause: failure });
  if (failure !== undefined) throw failure;
  const [first] = unreadable;
  if (first !== undefined) throw new CliError(first.exitCode, `${plural(unreadable.length, 'file')} could not be read to the end`);
  if (tally.rejected > 0) throw new CliError(EXIT.rejected, `${plural(tally.rejected, 'record')} rejected; see above and /v1/quarantine`);
}

async function summarize(command: Command, io: Io, { accepted, duplicates, rejected, reasons }: Tally): Promise<void> {
  for (const reason of reasons) io.say(`rejected: ${reason}`);
  if (rejected > reasons.length) io.say(`… and ${rejected - reasons.length} more`);
  await io.outLine(wantsJson(command)
    ? JSON.stringify({ accepted, duplicates, rejected })
    : `${accepted.toLocaleString('en')} accepted, ${plural(duplicates, 'duplicate')}, ${rejected.toLocaleString('en')} rejected`);
}

/** Runs `work` on at most `width` items at a time; the first failure stops taking more, and is thrown when all rest. */
async function inParallel(items: AsyncGenerator<Batch>, width: number, work: (item: Batch) => Promise<void>): Promise<void> {
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  for await (const item of items) {
    const job: Promise<void> = work(item).then(() => void running.delete(job), (error: unknown) => {
      running.delete(job);
      failures.push(error);
    });
    running.add(job);
    if (running.size >= width) await Promise.race(running);
    if (failures.length > 0) break;
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
}

async function totalBytes(files: readonly string[]): Promise<number | undefined> {
  let total = 0;
  for (const file of files) {
    if (file === '-') return undefined;
    // A file that is missing is reported when it is its turn.
    total += await stat(file).then(({ size }) => size, () => 0);
  }
  return total;
}
