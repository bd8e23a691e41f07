import { parentPort, workerData } from 'node:worker_threads';
import { Store, StoreError, type StoreOptions } from '@agent-audit/queries';
import { checkSlice } from './check-slice.ts';
import type { SliceMessage, SliceTask } from './slice-pool.ts';

/** A thread of `checkSlices`. */
const store = new Store(workerData as StoreOptions);
const tell = (message: SliceMessage): void => parentPort?.postMessage(message);

parentPort?.on('message', ({ log, from, to }: SliceTask) => {
  checkSlice(store, log, from, to, (rows) => tell({ kind: 'rows', rows })).then(
    (result) => tell({ kind: 'done', result }),
    (error: unknown) => tell({ kind: 'failed', message: (error as Error).message, code: error instanceof StoreError ? error.code : undefined, ofStore: error instanceof StoreError }),
  );
});
