import { Worker } from 'node:worker_threads';
import type { LogRows } from './event-leaves.ts';
import type { Hash } from './merkle.ts';

/** `sha256.ts` uses what Node calls experimental; nobody needs to be told at each start. */
export const QUIETLY = ['--disable-warning=ExperimentalWarning'];

/** Which log, and where. */
export interface LogName {
  readonly tenant: string;
  readonly origin: string;
  readonly folder: string;
}

/** What became of a run of events. */
export interface Appended {
  readonly tenant: string;
  /** Entries of the log now. */
  readonly size: number;
  /** It has not got the events before these, or could not be written. */
  readonly behind: boolean;
  readonly failure?: string;
}

export type LogRequest =
  | { readonly kind: 'open'; readonly log: LogName }
  | { readonly kind: 'append'; readonly rows: LogRows }
  | { readonly kind: 'sync'; readonly tenant: string };

export interface LogAnswers {
  readonly open: { readonly size: number; readonly broken?: string };
  readonly append: readonly Appended[];
  readonly sync: { readonly size: number; readonly root: Hash };
}

export interface LogMessage {
  readonly number: number;
  readonly request: LogRequest;
}

export interface LogAnswer {
  readonly number: number;
  readonly result?: LogAnswers[keyof LogAnswers];
  readonly failure?: string;
}

/** Hashes and writes logs in a thread of its own, one request at a time and in their order. */
export class LogThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #number = 0;
  #ended: Error | undefined;

  /** @param secret of the salts */
  constructor(secret: Uint8Array) {
    this.#worker = new Worker(new URL('./log-worker.ts', import.meta.url), { workerData: secret, execArgv: QUIETLY });
    this.#worker.unref();
    this.#worker.on('message', ({ number, result, failure }: LogAnswer) => {
      const waiting = this.#waiting.get(number);
      this.#waiting.delete(number);
      if (this.#waiting.size === 0) this.#worker.unref();
      if (failure === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(failure));
    });
    let cause: unknown;
    this.#worker.on('error', (error) => {
      cause = error;
    });
    this.#worker.on('exit', () => {
      this.#ended = new Error('the thread of the logs has ended', { cause });
      for (const { reject } of this.#waiting.values()) reject(this.#ended);
      this.#waiting.clear();
    });
  }

  /** Opens a log, and cuts off what its checkpoint does not cover. */
  open(log: LogName): Promise<LogAnswers['open']> {
    return this.#ask({ kind: 'open', log });
  }

  /** Of logs that are open. @param rows are read until the promise is settled */
  append(rows: LogRows): Promise<LogAnswers['append']> {
    return this.#ask({ kind: 'append', rows });
  }

  /** Makes a log durable as it is. */
  sync(tenant: string): Promise<LogAnswers['sync']> {
    return this.#ask({ kind: 'sync', tenant });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  async #ask<Answer>(request: LogRequest): Promise<Answer> {
    if (this.#ended !== undefined) throw this.#ended;
    const number = ++this.#number;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(number, waiting);
    this.#worker.ref();
    this.#worker.postMessage({ number, request } satisfies LogMessage);
    return (await waiting.promise) as Answer;
  }
}
