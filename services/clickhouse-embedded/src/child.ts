import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { EmbeddedClickHouseError } from './errors.ts';
import type { FromChild, ToChild } from './messages.ts';
import { nodeWithFfi } from './node-with-ffi.ts';

/** Loading many large tables takes its time. */
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;
const STDERR_KEPT_CHARS = 4_000;
/** clickhouse-local prints this before an exception of its startup SQL, and then waits at its prompt. */
const EXCEPTION_HEADING = 'Received exception';

export interface Exit {
  /** For people: how it ended and what it said last. */
  reason: string;
}

export interface Child {
  readonly pid: number;
  readonly port: number;
  /** Resolves when the process is gone, for whatever reason. */
  readonly exited: Promise<Exit>;
  /** Lets running requests finish (for 5 s), then ends the process; resolves when it is gone. */
  stop(): Promise<void>;
  kill(): void;
}

const send = (child: ChildProcess, message: ToChild): void => {
  if (child.connected) child.send(message);
};

/** Only what the engine needs; nothing secret of the owner's environment gets into it. */
const environment = (): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  LD_LIBRARY_PATH: process.env.LD_LIBRARY_PATH,
  LANG: 'C.UTF-8',
  TERM: 'dumb',
  TZ: 'UTC',
});

/** Starts an engine process; resolves once it listens. */
export const startChild = async (options: Omit<Extract<ToChild, { type: 'start' }>, 'type'>): Promise<Child> => {
  const child = fork(fileURLToPath(new URL('main.ts', import.meta.url)), [], {
    execPath: nodeWithFfi(),
    execArgv: ['--experimental-ffi', '--disable-warning=ExperimentalWarning'],
    env: environment(),
    // A process group of its own: Ctrl-C in a terminal is for the owner, who then stops the engine.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });

  let stderr = '';
  const failure = Promise.withResolvers<never>();
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_KEPT_CHARS);
    if (stderr.includes(EXCEPTION_HEADING)) {
      failure.reject(new EmbeddedClickHouseError('start-failed', `the embedded ClickHouse did not start: ${stderr.trim()}`));
    }
  });

  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      const said = stderr.trim();
      resolve({ reason: `${signal ? `signal ${signal}` : `exit code ${code}`}${said ? `: ${said}` : ''}` });
    });
    child.on('error', (error) => resolve({ reason: String(error) }));
  });
  void exited.then(({ reason }) =>
    failure.reject(new EmbeddedClickHouseError('start-failed', `the embedded ClickHouse ended while starting: ${reason}`)),
  );
  const timer = setTimeout(
    () => failure.reject(new EmbeddedClickHouseError('start-timeout', `the embedded ClickHouse did not listen within ${START_TIMEOUT_MS} ms`)),
    START_TIMEOUT_MS,
  );
  const listening = new Promise<number>((resolve) => {
    child.on('message', (message: FromChild) => {
      if (message.type === 'listening') resolve(message.port);
      else failure.reject(new EmbeddedClickHouseError(message.code, message.message));
    });
  });

  send(child, { type: 'start', ...options });
  try {
    const port = await Promise.race([listening, failure.promise]);
    return {
      pid: child.pid ?? 0,
      port,
      exited,
      stop: async () => {
        send(child, { type: 'stop' });
        const limit = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
        await exited;
        clearTimeout(limit);
      },
      kill: () => void child.kill('SIGKILL'),
    };
  } catch (error) {
    child.kill('SIGKILL');
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    throw error;
  } finally {
    clearTimeout(timer);
  }
};
