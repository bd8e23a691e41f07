import { parentPort, workerData } from 'node:worker_threads';
import { connect, type StoreOptions } from '../clickhouse-client.ts';
import { StoreError } from '../store-error.ts';
import { insertBlock } from './insert-block.ts';
import type { InsertAnswer, InsertMessage } from './insert-thread.ts';

/** The thread of `InsertThread`. */
const client = connect(workerData as StoreOptions);

parentPort?.on('message', (message: InsertMessage) => void insert(message));

async function insert({ number, ...message }: InsertMessage): Promise<void> {
  let answer: InsertAnswer = { number };
  try {
    await insertBlock(client, message);
  } catch (error) {
    const { message: said, code } = StoreError.from(error);
    answer = { number, failure: { message: said, code } };
  }
  parentPort?.postMessage(answer);
}
