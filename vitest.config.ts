import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** A test file's suffix says what it needs; each need is a project of its own. */
const needs = {
  clickhouse: '**/*.ch.test.ts',
  e2e: '**/*.e2e.test.ts',
  kafka: '**/*.kafka.test.ts',
};
const exclude = ['**/node_modules/**', '**/data/**'];

export default defineConfig({
  test: {
    // Tests mostly wait for engines, brokers and disks; one at a time would take twice as long.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // Beside what people read, counts for continuous integration.
    ...(process.env['VITEST_JSON'] === undefined ? {} : { reporters: ['default', ['json', { outputFile: process.env['VITEST_JSON'] }]] }),
    projects: [
      { test: { name: 'unit', testTimeout: 30_000, include: ['**/*.test.ts'], exclude: [...exclude, ...Object.values(needs)] } },
      { test: { name: 'clickhouse', include: [needs.clickhouse], exclude, testTimeout: 60_000, hookTimeout: 60_000 } },
      { test: { name: 'e2e', include: [needs.e2e], exclude, testTimeout: 120_000, hookTimeout: 60_000 } },
      // One broker for all of them; the first run on a machine downloads it.
      { test: { name: 'kafka', include: [needs.kafka], exclude, globalSetup: 'test/support/kafka-setup.ts', testTimeout: 120_000, hookTimeout: 60_000 } },
    ],
  },
});
