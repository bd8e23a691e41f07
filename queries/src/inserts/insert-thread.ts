import { Worker } from 'node:worker_threads';
import type { StoreOptions } from '../clickhouse-client.ts';
import { StoreError } from '../store-error.ts';
import type { Insert } from './insert-block.ts';

/** What the thread is told; the block's bytes are shared with it where they are on shared memory, and copied elsewhere. */
export interface InsertMessage extends Insert {
  readonly number: number;
}

/** What it answers. */
export interface InsertAnswer {
  readonly number: number;
  /** Undefined: stored. */
  readonly failure?: { readonly message: string; readonly code: number | undefined };
}

/**
 * Sends blocks to ClickHouse from a thread of its own: tens of megabytes through a socket take as long as reading
 * thousands of events. The thread is started with the first block and does not keep the process from ending.
 */
export class InsertThread {
  readonly #options: StoreOptions;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  #worker: Worker | undefined;
  #number = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** @throws StoreError */
  async insert(insert: Insert): Promise<void> {
    const worker = (this.#worker ??= this.#start());
    const number = ++this.#number;
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(number, waiting);
    worker.ref();
    worker.postMessage({ ...insert, number } satisfies InsertMessage);
    try {
      await waiting.promise;
    } finally {
      this.#waiting.delete(number);
      if (this.#waiting.size === 0) worker.unref();
    }
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL('./insert-worker.ts', import.meta.url), { workerData: this.#options });
    worker.unref();
    worker.on('message', ({ number, failure }: InsertAnswer) => {
      if (failure === undefined) this.#waiting.get(number)?.resolve();
      else this.#waiting.get(number)?.reject(new StoreError(failure.message, failure.code));
    });
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => {
      this.#worker = undefined;
      for (const { reject } of this.#waiting.values()) reject(new StoreError('the thread that sends to ClickHouse has ended', undefined, { cause }));
    });
    return worker;
  }
}
