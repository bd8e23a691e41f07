import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedClickHouseError } from './errors.ts';
import { tryLockExclusively } from './posix.ts';

/** How long an engine whose owner died gets to finish and let go of the directory. */
const ORPHAN_GRACE_MS = 20_000;
const LOCK_RETRY_MS = 50;

export interface DataDir {
  /** ClickHouse's own `path`: tables, parts, metadata. */
  engine: string;
  backups: string;
  /** Written anew at every start: configuration, the port, the engine's home. */
  run: string;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

const readHolder = (file: string): { pid: number; ownerPid: number } | undefined => {
  const [pid, ownerPid] = readFileSync(file, 'utf8').split(' ').map(Number);
  return pid && ownerPid ? { pid, ownerPid } : undefined;
};

/**
 * Holds `dataDir` for this process until the process ends. Two engines on one directory would
 * destroy it, so a directory in use is refused; where the other engine's owner is dead, that engine
 * is about to end by itself and is waited for.
 */
const lock = async (dataDir: string, ownerPid: number): Promise<void> => {
  const file = join(dataDir, 'lock');
  const fd = openSync(file, 'a+', 0o600);
  const deadline = Date.now() + ORPHAN_GRACE_MS;
  while (!tryLockExclusively(fd)) {
    const holder = readHolder(file);
    if (Date.now() > deadline || (holder && isAlive(holder.ownerPid))) {
      closeSync(fd);
      throw new EmbeddedClickHouseError(
        'data-dir-locked',
        `another embedded ClickHouse${holder ? ` (process ${holder.pid}, started by ${holder.ownerPid})` : ''} is using ${dataDir}; stop it first, or choose another data directory`,
      );
    }
    await sleep(LOCK_RETRY_MS);
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid} ${ownerPid}`);
};

export const claimDataDir = async (dataDir: string, ownerPid: number): Promise<DataDir> => {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  await lock(dataDir, ownerPid);
  const engine = join(dataDir, 'clickhouse');
  const run = join(dataDir, 'run');
  // Only when "metadata" exists does the engine start the tasks that clean up dropped tables.
  mkdirSync(join(engine, 'metadata'), { recursive: true, mode: 0o700 });
  rmSync(run, { recursive: true, force: true });
  mkdirSync(run, { mode: 0o700 });
  return { engine, backups: join(dataDir, 'backups'), run };
};
