import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

/** Appends to a file of its own, each time with a sync, until it is told to stop; then it tells how long each took. */
const { path, bytes, everyMs } = workerData as { path: string; bytes: number; everyMs: number };
const block = Buffer.alloc(bytes, 'x');
const file = openSync(path, 'wx');
const timesMs: number[] = [];
let over = false;
parentPort?.once('message', () => {
  over = true;
});
while (!over) {
  const begin = performance.now();
  writeSync(file, block, 0, block.length, timesMs.length * bytes);
  fdatasyncSync(file);
  timesMs.push(performance.now() - begin);
  await sleep(everyMs);
}
closeSync(file);
rmSync(path);
parentPort?.postMessage(timesMs);
parentPort?.close();
