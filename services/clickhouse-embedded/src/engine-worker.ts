import { parentPort, workerData } from 'node:worker_threads';
import { dlopen, getRawPointer, toString } from 'node:ffi';

/**
 * Runs the engine in this thread, until it ends: `chdb_query_cmdline` is clickhouse-local's main().
 * Posts what it ended with, '' when all was well. Where connections would not close in time, the
 * engine ends the whole process by itself instead, with exit code 0.
 */
const { library, args } = workerData as { library: string; args: string[] };

const engine = dlopen(library, {
  chdb_query_cmdline: { arguments: ['int32', 'pointer'], return: 'pointer' },
  chdb_result_error: { arguments: ['pointer'], return: 'pointer' },
}).functions;

// char ** argv. The strings must stay reachable while the engine runs.
const strings = args.map((arg) => Buffer.from(`${arg}\0`));
const argv = BigUint64Array.from([...strings.map((string) => getRawPointer(string)), 0n]);

const result = engine.chdb_query_cmdline(args.length, getRawPointer(argv));
const error = engine.chdb_result_error(result);
parentPort?.postMessage(error === 0n || error === null ? '' : (toString(error) ?? ''), []);
