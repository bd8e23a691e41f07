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
  /** Undefined: broken, and left as it is. */
  writer: LogWriter | undefined;
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
  const writer = logs.get(request.tenant)?.writer;
  if (writer === undefined) throw new Error(`the log of tenant ${request.tenant} is not open`);
  return writer.sync();
}

function open(name: LogName): LogAnswers['open'] {
  const salts = new Salts(workerData as Uint8Array, name.origin);
  try {
    const writer = new LogWriter(name.folder);
    logs.set(name.tenant, { name, salts, writer });
    return { size: writer.size };
  } catch (error) {
    if (!(error instanceof LogBroken)) throw error;
    logs.set(name.tenant, { name, salts, writer: undefined });
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
  const { writer } = log;
  if (writer === undefined) return { tenant, size: 0, behind: false };
  const before = writer.size;
  if (firstIndex > before) return { tenant, size: before, behind: true };
  try {
    // What was read from the store while it arrived is there already.
    writer.append(leaves.subarray((before - firstIndex) * HASH_BYTES));
    return { tenant, size: writer.size, behind: false };
  } catch (error) {
    // Nobody knows how far it was written: as far as its checkpoint it is whole.
    log.writer = new LogWriter(log.name.folder);
    return { tenant, size: log.writer.size, behind: true, failure: (error as Error).message };
  }
}
