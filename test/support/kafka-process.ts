import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { formatArguments } from './kafka-properties.ts';

const run = promisify(execFile);

/** A broker that can be ended and started again, on the same ports and data. */
export interface BrokerRunner {
  start(): Promise<void>;
  /** In order with SIGTERM, or with SIGKILL as in a crash. */
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  readonly pid: number | undefined;
}

/** Quiet but for the one line that says when it can be used, and for what went wrong. */
const LOG4J = `Configuration:
  Appenders:
    Console: {name: out, PatternLayout: {pattern: "%p %c{1}: %m%n%throwable"}}
  Loggers:
    Root: {level: error, AppenderRef: {ref: out}}
    Logger: [{name: kafka.server.KafkaRaftServer, level: info}]
`;

const JVM = ['-Xms256m', '-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto'];

/** Runs Kafka out of its jars, in a process of its own. @param dir holds `server.properties` */
export async function javaBroker(jars: string, dir: string): Promise<BrokerRunner> {
  await writeFile(join(dir, 'log4j2.yaml'), LOG4J);
  const java = [...JVM, `-Dlog4j2.configurationFile=${join(dir, 'log4j2.yaml')}`, '-cp', join(jars, '*')];
  let child: ChildProcess | undefined;
  const endWithUs = (): void => void child?.kill('SIGKILL');
  process.once('exit', endWithUs);
  await run('java', [...java, 'kafka.tools.StorageTool', ...formatArguments(dir)]);
  return {
    get pid() {
      return child?.pid;
    },
    async start() {
      child = spawn('java', [...java, 'kafka.Kafka', join(dir, 'server.properties')], { stdio: ['ignore', 'pipe', 'pipe'] });
      await saysStarted(child);
    },
    async stop(signal) {
      const ending = child;
      if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
      const ended = once(ending, 'exit');
      ending.kill(signal);
      await ended;
    },
  };
}

function saysStarted(child: ChildProcess): Promise<void> {
  let said = '';
  return new Promise((resolve, reject) => {
    const listen = (text: string): void => {
      said = (said + text).slice(-10_000);
      if (said.includes('Kafka Server started')) resolve();
    };
    child.stdout?.setEncoding('utf8').on('data', listen);
    child.stderr?.setEncoding('utf8').on('data', listen);
    child.once('exit', () => reject(new Error(`the broker ended before it could be used:\n${said}`)));
  });
}
