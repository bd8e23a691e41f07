import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { kafkaJars } from './kafka-artifacts.ts';
import type { KafkaAddress } from './kafka-broker.ts';

export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';

/** A message as `javaProduce` sends it; neither part may hold a tab or a line feed. */
export interface Line {
  readonly headers?: Readonly<Record<string, string>>;
  readonly value: string | null;
}

const NULL = '<null>';

/** Sends messages with Kafka's own console producer: what it writes is right by definition. */
export async function javaProduce(kafka: KafkaAddress, topic: string, lines: readonly Line[], compression: Compression = 'none'): Promise<void> {
  const input = lines.map(({ headers, value }) => `${headers === undefined ? NULL : Object.entries(headers).map(([name, text]) => `${name}:${text}`).join(',')}\t${value ?? NULL}\n`).join('');
  await tool(
    'org.apache.kafka.tools.ConsoleProducer',
    ['--bootstrap-server', kafka.at.plain, '--topic', topic, '--compression-codec', compression, '--reader-property', 'parse.headers=true', '--reader-property', `null.marker=${NULL}`, '--batch-size', '200000', '--command-property', 'linger.ms=100'],
    input,
  );
}

/** Reads the values of the first `count` messages with Kafka's own console consumer. */
export async function javaConsume(kafka: KafkaAddress, topic: string, count: number): Promise<string[]> {
  const said = await tool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
    '--bootstrap-server', kafka.at.plain, '--topic', topic, '--from-beginning', '--max-messages', String(count), '--timeout-ms', '20000',
  ]);
  return said.split('\n').slice(0, -1);
}

async function tool(main: string, args: string[], input = ''): Promise<string> {
  const child = spawn('java', ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Dlog4j2.level=error', '-cp', join(await kafkaJars(), '*'), main, ...args], { stdio: 'pipe' });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  // One that fails does not read on, and says why when it ends.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${main} failed: ${err}`);
  return out;
}
