import { Worker } from 'node:worker_threads';
import { StoreError, type StoreOptions } from '@agent-audit/queries';
import { QUIETLY } from '@agent-audit/tlog';
import { CannotVerify } from '../finding.ts';
import type { SliceResult } from './check-slice.ts';
import type { StoredLog } from './stored-log.ts';

export interface SliceTask {
  readonly log: StoredLog;
  readonly from: number;
  readonly to: number;
}

export type SliceMessage =
  | { readonly kind: 'rows'; readonly rows: number }
  | { readonly kind: 'done'; readonly result: SliceResult }
  | { readonly kind: 'failed'; readonly message: string; readonly code: number | undefined; readonly ofStore: boolean };

/**
 * Checks slices in threads of their own, each with its own way to the store.
 *
 * @param onResult in any order
 * @throws StoreError; CannotVerify
 */
export async function checkSlices(options: StoreOptions, tasks: readonly SliceTask[], threads: number, onRows: (rows: number) => void, onResult: (result: SliceResult) => void): Promise<void> {
  const waiting = tasks.values();
  const workers: Worker[] = [];
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('./slice-worker.ts', import.meta.url), { workerData: options, execArgv: QUIETLY });
    workers.push(worker);
    for (const task of waiting) onResult(await ask(worker, task, onRows));
  };
  try {
    await Promise.all(Array.from({ length: Math.min(threads, tasks.length) }, work));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function ask(worker: Worker, task: SliceTask, onRows: (rows: number) => void): Promise<SliceResult> {
  const { promise, resolve, reject } = Promise.withResolvers<SliceResult>();
  const onMessage = (message: SliceMessage): void => {
    if (message.kind === 'rows') return onRows(message.rows);
    if (message.kind === 'done') resolve(message.result);
    else reject(message.ofStore ? new StoreError(message.message, message.code) : new CannotVerify(message.message));
  };
  const onExit = (): void => reject(new CannotVerify('a thread that verifies has ended'));
  worker.on('message', onMessage).on('error', reject).on('exit', onExit);
  worker.postMessage(task);
  return promise.finally(() => worker.off('message', onMessage).off('error', reject).off('exit', onExit));
}
