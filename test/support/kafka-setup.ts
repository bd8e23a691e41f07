import type { TestProject } from 'vitest/node';
import { NoKafka } from './kafka-artifacts.ts';
import { startKafkaBroker, type KafkaAddress, type KafkaBroker } from './kafka-broker.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The broker that all tests share, or why there is none. */
    readonly kafka: KafkaAddress | { readonly missing: string };
  }
}

/** Runs once, before the first file of tests that need a broker. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  let broker: KafkaBroker | undefined;
  try {
    broker = await startKafkaBroker();
    project.provide('kafka', { at: broker.at, dir: broker.dir });
  } catch (error) {
    if (!(error instanceof NoKafka)) throw error;
    project.provide('kafka', { missing: error.message });
  }
  return async () => broker?.remove();
}
