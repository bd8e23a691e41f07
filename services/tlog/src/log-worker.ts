import { parentPort, workerData } from 'node:worker_threads';
import { leavesOf, type LogRows } from './event-leaves.ts';
import { LogBroken, LogWriter } from './log-files.ts';
import type { Appended, LogAnswer, LogAnswers, LogMessage, LogName, LogRequest } from './log-thread.ts';
import { HASH_BYTES } from './merkle.ts';
import { Salts } from './salts.ts';

/** The thread of `LogThread`. */
interface OpenLog {
  readonly name: LogName;
  readonly salts: Salts;
  /** Undefined: a write or sync of it has failed. It is opened anew, as far as its checkpoint: nobody knows what else is on disk. */
  writer: LogWriter | 'broken' | undefined;
}

const logs = new Map<string, OpenLog>();

parentPort?.on('message', ({ number, request }: LogMessage) => {
  let answer: LogAnswer;
  try {
    answer = { number, result: answerTo(request) };
  } catch (error) {
    answer = { number, failure: (error as Error).message };
  }
  parentPort?.postMessage(answer);
});

function answerTo(request: LogRequest): LogAnswers[keyof LogAnswers] {
  if (request.kind === 'open') return open(request.log);
  if (request.kind === 'append') return append(request.rows);
  const log = logs.get(request.tenant);
  if (log === undefined || log.writer === 'broken') throw new Error(`the log of tenant ${request.tenant} is not open`);
  const writer = log.writer ?? new LogWriter(log.name.folder);
  log.writer = writer;
  try {
    return writer.sync();
  } catch (error) {
    // A sync that failed is never repeated: the next might say that it worked.
    log.writer = undefined;
    throw error;
  }
}

function open(name: LogName): LogAnswers['open'] {
  const salts = new Salts(workerData as Uint8Array, name.origin);
  try {
    const writer = new LogWriter(name.folder);
    logs.set(name.tenant, { name, salts, writer });
    return { size: writer.size };
  } catch (error) {
    if (!(error instanceof LogBroken)) throw error;
    logs.set(name.tenant, { name, salts, writer: 'broken' });
    return { size: 0, broken: error.message };
  }
}

function append(rows: LogRows): readonly Appended[] {
  const appended: Appended[] = [];
  leavesOf(rows, (run) => saltsOf(run.tenant).from(run.firstIndex, run.rows), (run, leaves) => appended.push(appendRun(run.tenant, run.firstIndex, leaves)));
  return appended;
}

function saltsOf(tenant: string): Salts {
  const log = logs.get(tenant);
  if (log === undefined) throw new Error(`the log of tenant ${tenant} is not open`);
  return log.salts;
}

function appendRun(tenant: string, firstIndex: number, leaves: Buffer): Appended {
  const log = logs.get(tenant) as OpenLog;
  if (log.writer === 'broken') return { tenant, size: 0, behind: false };
  const writer = log.writer ?? new LogWriter(log.name.folder);
  log.writer = writer;
  const before = writer.size;
  if (firstIndex > before) return { tenant, size: before, behind: true };
  try {
    // What was read from the store while it arrived is there already.
    writer.append(leaves.subarray((before - firstIndex) * HASH_BYTES));
    return { tenant, size: writer.size, behind: false };
  } catch (error) {
    log.writer = undefined;
    log.writer = new LogWriter(log.name.folder);
    return { tenant, size: log.writer.size, behind: true, failure: (error as Error).message };
  }
}
