import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kafkaJars, NoKafka } from './kafka-artifacts.ts';
import { freePorts, LISTENERS, writeBrokerFiles, type Listener, type Ports } from './kafka-properties.ts';
import { javaBroker, type BrokerRunner } from './kafka-process.ts';

/** Where a broker is, as plain data: it is handed from vitest's main process to the tests. */
export interface KafkaAddress {
  /** `host:port` of each way in. */
  readonly at: Readonly<Record<Listener, string>>;
  /** Holds `server.crt`, the authority to trust, and `client.crt` with `client.key`. */
  readonly dir: string;
}

/** A real Apache Kafka of a single node, with KRaft. */
export interface KafkaBroker extends KafkaAddress {
  /** The broker's own process; undefined where it runs in a container. */
  readonly pid: number | undefined;
  /** Ends it and keeps its data: in order, or as in a crash. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** On the same ports and data as before. */
  start(): Promise<void>;
  /** Ends it for good. */
  remove(): Promise<void>;
}

/**
 * Starts a broker on free ports and a folder of its own: in a container where a Docker engine answers, else out of
 * Kafka's jars.
 *
 * @throws NoKafka where the machine can do neither
 */
export async function startKafkaBroker(): Promise<KafkaBroker> {
  const ports = await freePorts();
  const dir = await mkdtemp(join(tmpdir(), 'agent-audit-kafka-'));
  const clear = (): Promise<void> => rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  try {
    const runner = (await inContainer(dir, ports)) ?? (await fromJars(dir, ports));
    return {
      at: Object.fromEntries(Object.keys(LISTENERS).map((name) => [name, `127.0.0.1:${ports[name as Listener]}`])) as KafkaAddress['at'],
      dir,
      get pid() {
        return runner.pid;
      },
      start: () => runner.start(),
      stop: (signal = 'SIGTERM') => runner.stop(signal),
      remove: () => runner.stop('SIGKILL').finally(clear),
    };
  } catch (error) {
    await clear();
    throw error;
  }
}

/** Undefined where containers cannot be had; that is no error while there is Java. */
async function inContainer(dir: string, ports: Ports): Promise<BrokerRunner | undefined> {
  try {
    const { containerBroker } = await import('./kafka-container.ts');
    return await containerBroker(dir, ports);
  } catch {
    return undefined;
  }
}

async function fromJars(dir: string, ports: Ports): Promise<BrokerRunner> {
  const jars = await kafkaJars();
  await writeBrokerFiles(dir, ports).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && error.syscall?.includes('openssl') === true) throw new NoKafka('no openssl');
    throw error;
  });
  const runner = await javaBroker(jars, dir);
  await runner.start();
  return runner;
}

/** Text of a file that clients of the broker need. */
export function brokerFile({ dir }: KafkaAddress, name: 'server.crt' | 'client.crt' | 'client.key'): Promise<string> {
  return readFile(join(dir, name), 'utf8');
}
