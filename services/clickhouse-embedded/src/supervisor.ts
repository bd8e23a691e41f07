import { createHash, randomBytes } from 'node:crypto';
import { totalmem } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, type Child } from './child.ts';
import { USERNAME } from './engine-config.ts';
import { pings, untilAnswering } from './health.ts';

/** Takes pino's loggers as they are. */
export interface EmbeddedClickHouseLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface EmbeddedClickHouseOptions {
  /** Created where missing; belongs to one engine at a time. */
  dataDir: string;
  log?: EmbeddedClickHouseLog;
  /** What the engine may use for queries, merges and caches together. Default: half of the machine's (or container's) memory. */
  maxMemoryBytes?: number;
  /** Default 0: a free port, kept over restarts. */
  port?: number;
}

export interface EmbeddedClickHouse {
  /** http://127.0.0.1:port, the same over restarts. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  /** Of the engine's process; undefined while it is being restarted and after stop(). */
  readonly pid: number | undefined;
  /** How often the engine was started again after it died. */
  readonly restarts: number;
  /** Closes intake, gives running requests 5 s, and resolves when the process is gone. */
  stop(): Promise<void>;
}

const TOKEN_BYTES = 32;
const ANSWER_LIMIT_MS = 30_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_LAST_MS = 5_000;
/** An engine that lived this long does not count as failing again and again. */
const STABLE_AFTER_MS = 30_000;
const WATCH_EVERY_MS = 5_000;
/** With a request timeout of 10 s: a process that hangs is replaced after about a minute. */
const MISSED_PINGS_MAX = 4;

const silent: EmbeddedClickHouseLog = { info: () => {}, warn: () => {}, error: () => {} };

const defaultMemoryBytes = (): number => {
  const container = process.constrainedMemory();
  const total = container > 0 ? Math.min(container, totalmem()) : totalmem();
  return Math.floor(total / 2);
};

/**
 * Resolves once /ping and SELECT 1 answer. The engine's process is started again, with backoff and
 * with the same port and credentials, whenever it dies or hangs: clients just retry.
 *
 * @throws EmbeddedClickHouseError when the first start fails.
 */
export const startEmbeddedClickHouse = async (options: EmbeddedClickHouseOptions): Promise<EmbeddedClickHouse> => {
  const log = options.log ?? silent;
  const dataDir = resolve(options.dataDir);
  const password = randomBytes(TOKEN_BYTES).toString('base64url');
  const authorization = `Basic ${Buffer.from(`${USERNAME}:${password}`).toString('base64')}`;
  let port = options.port ?? 0;
  let child: Child | undefined;
  let restarts = 0;
  const stopped = new AbortController();

  const launch = async (): Promise<Child> => {
    const started = await startChild({
      dataDir,
      port,
      passwordSha256Hex: createHash('sha256').update(password).digest('hex'),
      maxMemoryBytes: options.maxMemoryBytes ?? defaultMemoryBytes(),
    });
    const gone = new AbortController();
    void started.exited.then(() => gone.abort());
    try {
      await untilAnswering(`http://127.0.0.1:${started.port}`, authorization, ANSWER_LIMIT_MS, gone.signal);
    } catch (error) {
      started.kill();
      await started.exited;
      throw error;
    }
    port = started.port;
    log.info({ pid: started.pid, port, dataDir }, 'embedded ClickHouse is up');
    return started;
  };

  const relaunch = async (failures: number): Promise<Child | undefined> => {
    for (let failed = failures; !stopped.signal.aborted; failed += 1) {
      await sleep(Math.min(BACKOFF_FIRST_MS * 2 ** failed, BACKOFF_LAST_MS), undefined, { signal: stopped.signal }).catch(() => {});
      if (stopped.signal.aborted) return undefined;
      restarts += 1;
      try {
        const started = await launch();
        if (!stopped.signal.aborted) return started;
        // stop() came while it was starting, and waits for this.
        await started.stop();
      } catch (error) {
        log.error({ err: error, restarts }, 'embedded ClickHouse did not come back; trying again');
      }
    }
    return undefined;
  };

  /** A process may be alive and yet answer nothing. */
  const watch = async (watched: Child, gone: AbortSignal): Promise<void> => {
    for (let missed = 0; !gone.aborted; ) {
      await sleep(WATCH_EVERY_MS, undefined, { signal: gone, ref: false }).catch(() => {});
      if (gone.aborted) return;
      missed = (await pings(`http://127.0.0.1:${port}`)) ? 0 : missed + 1;
      if (missed > MISSED_PINGS_MAX && !gone.aborted) {
        log.error({ pid: watched.pid, missed }, 'embedded ClickHouse hangs; killing it');
        watched.kill();
        return;
      }
    }
  };

  const supervise = async (): Promise<void> => {
    let failures = 0;
    while (child) {
      const current: Child = child;
      const since = Date.now();
      const gone = new AbortController();
      void watch(current, AbortSignal.any([gone.signal, stopped.signal]));
      const { reason } = await current.exited;
      gone.abort();
      child = undefined;
      if (stopped.signal.aborted) return;
      failures = Date.now() - since > STABLE_AFTER_MS ? 0 : failures + 1;
      log.warn({ pid: current.pid, reason }, 'embedded ClickHouse died; restarting it');
      child = await relaunch(failures - 1);
    }
  };

  child = await launch();
  const supervised = supervise();

  const stop = async (): Promise<void> => {
    stopped.abort();
    await child?.stop();
    await supervised;
  };
  let stopping: Promise<void> | undefined;

  return {
    url: `http://127.0.0.1:${port}`,
    username: USERNAME,
    password,
    get pid() {
      return child?.pid;
    },
    get restarts() {
      return restarts;
    },
    stop: () => (stopping ??= stop()),
  };
};
