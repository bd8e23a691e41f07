import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers';
import { KAFKA_VERSION } from './kafka-artifacts.ts';
import { formatArguments, writeBrokerFiles, type Ports } from './kafka-properties.ts';
import type { BrokerRunner } from './kafka-process.ts';

const DIR = '/opt/agent-audit';

/**
 * Runs Kafka's own image from the same `server.properties` as `javaBroker` does.
 *
 * @throws Error where no Docker engine answers or the image cannot be had
 */
export async function containerBroker(dir: string, ports: Ports): Promise<BrokerRunner> {
  const { container: engine } = await getContainerRuntimeClient();
  await writeBrokerFiles(dir, ports, DIR, '0.0.0.0');
  const { controller: _, ...open } = ports;
  const quoted = formatArguments(DIR).map((argument) => `'${argument}'`).join(' ');
  const files = (await readdir(dir)).map((name) => ({ source: join(dir, name), target: `${DIR}/${name}`, mode: 0o644 }));
  const started = await new GenericContainer(`apache/kafka:${KAFKA_VERSION}`)
    .withCopyFilesToContainer(files)
    .withUser('root')
    .withEnvironment({ KAFKA_HEAP_OPTS: '-Xmx384m' })
    .withExposedPorts(...Object.values(open).map((port) => ({ container: port, host: port })))
    .withEntrypoint(['/bin/sh', '-c', `/opt/kafka/bin/kafka-storage.sh ${quoted} && exec /opt/kafka/bin/kafka-server-start.sh ${DIR}/server.properties`])
    .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
    .withStartupTimeout(120_000)
    .start();
  let up = true;
  return {
    pid: undefined,
    async start() {
      if (up) return;
      await started.restart();
      up = true;
    },
    async stop(signal) {
      await engine.stop(engine.getById(started.getId()), { timeout: signal === 'SIGKILL' ? 0 : 10_000 });
      up = false;
    },
  };
}
