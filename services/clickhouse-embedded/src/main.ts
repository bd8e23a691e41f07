import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { libchdbPath } from 'chdb/libchdb';
import { claimDataDir } from './data-dir.ts';
import { serverConfig, startupSql, usersConfig } from './engine-config.ts';
import { EmbeddedClickHouseError, type EmbeddedClickHouseErrorCode } from './errors.ts';
import { openLoginGate } from './login-gate.ts';
import type { FromChild, ToChild } from './messages.ts';
import { duplicateOnto, openTerminal } from './posix.ts';

/*
 * The process of the engine. It belongs to the process that forked it and ends with it, however
 * that one ends: an engine nobody owns would keep the data directory locked.
 *
 *   waiting --start--> starting --port file--> listening --stop, owner gone, SIGTERM--> ending --> exit 0
 *
 * The engine runs as interactive clickhouse-local on a pseudo terminal that nobody types on,
 * because the other mode of clickhouse-local aborts the process on the first connection error,
 * e.g. when a client goes away. End-of-file typed on the terminal ends it in an orderly way.
 */
const STDIN = 0;
const STDERR = 2;
const PORT_POLL_MS = 10;
const END_OF_FILE = '\u0004';
const END_OF_FILE_EVERY_MS = 100;
/** The engine gives running requests 5 s. If it takes much longer it hangs; what it acknowledged is on disk. */
const STOP_LIMIT_MS = 15_000;

const tell = (message: FromChild): void => {
  if (process.connected) process.send?.(message);
};

/** Exits once the owner has read why. */
const fail = (code: EmbeddedClickHouseErrorCode, message: string): void => {
  if (!process.connected) process.exit(1);
  const failed: FromChild = { type: 'failed', code, message };
  process.send?.(failed, undefined, {}, () => process.exit(1));
};

let terminal: { master: number } | undefined;
let stopping = false;

const stop = (): void => {
  if (stopping) return;
  stopping = true;
  const { master } = terminal ?? {};
  // Before it reads from the terminal there is nothing to finish.
  if (master === undefined) process.exit(0);
  writeSync(master, END_OF_FILE);
  // The engine may have thrown away what was typed while it was starting.
  setInterval(() => writeSync(master, END_OF_FILE), END_OF_FILE_EVERY_MS);
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), STOP_LIMIT_MS);
};

const readPort = (file: string): number | undefined => {
  try {
    const text = readFileSync(file, 'utf8');
    return text.endsWith('\n') ? Number(text) : undefined;
  } catch {
    return undefined;
  }
};

const engineEnded = (error: string): void => {
  if (stopping) process.exit(0);
  fail('start-failed', error === '' ? 'the engine ended by itself' : error);
};

const start = async (options: Extract<ToChild, { type: 'start' }>): Promise<void> => {
  const dir = await claimDataDir(options.dataDir, process.ppid);
  const configFile = join(dir.run, 'config.xml');
  const usersFile = join(dir.run, 'users.xml');
  const portFile = join(dir.run, 'port');
  writeFileSync(usersFile, usersConfig(options.passwordSha256Hex), { mode: 0o600 });
  writeFileSync(
    configFile,
    serverConfig({
      enginePath: dir.engine,
      backupsPath: dir.backups,
      usersFile,
      port: options.port,
      maxMemoryBytes: options.maxMemoryBytes,
      gatePort: await openLoginGate(),
    }),
    { mode: 0o600 },
  );
  // The engine reads from its home what a person using clickhouse-local would have put there.
  process.env.HOME = dir.run;
  process.chdir(dir.run);

  const { master, slave } = openTerminal();
  duplicateOnto(slave, STDIN);
  terminal = { master };

  const args = [
    'clickhouse-local',
    `--config-file=${configFile}`,
    '--interactive',
    '--disable_suggestion',
    '--progress=off',
    `--query=${startupSql(portFile)}`,
  ];
  const engine = new Worker(new URL('engine-worker.ts', import.meta.url), {
    workerData: { library: libchdbPath(), args },
  });
  engine.on('message', engineEnded);
  engine.on('error', (error) => engineEnded(String(error)));

  const poll = setInterval(() => {
    const port = readPort(portFile);
    if (port === undefined) return;
    clearInterval(poll);
    tell({ type: 'listening', port });
  }, PORT_POLL_MS);
};

// process.exit() would wait for the engine's thread for ever.
process.on('uncaughtException', (error) => {
  writeSync(STDERR, `${error.stack}\n`);
  process.kill(process.pid, 'SIGKILL');
});
process.on('disconnect', stop);
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
process.on('message', (message: ToChild) => {
  if (message.type === 'stop') {
    stop();
    return;
  }
  start(message).catch((error: unknown) => {
    if (error instanceof EmbeddedClickHouseError) fail(error.code, error.message);
    else fail('start-failed', String(error));
  });
});
