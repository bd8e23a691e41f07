import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { benchIngest } from './ingest.ts';
import { benchKafka } from './kafka.ts';
import { benchTimeline } from './timeline.ts';

/** `npm run bench -- [--only ingest|timeline|kafka] [--events N] [--stored N]`: prints tables, writes JSON. Asserts nothing. */
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    events: { type: 'string', default: '200000' },
    rounds: { type: 'string', default: '5' },
    stored: { type: 'string', default: '10000000' },
  },
});

const results: Record<string, unknown> = { at: new Date().toISOString(), node: process.version, cpus: cpus().length, model: cpus()[0]?.model };

if (values.only === undefined || values.only === 'ingest') {
  const result = await benchIngest(Number(values.events), Number(values.rounds));
  results['ingest'] = result;
  console.log(`\nIngest: ${result.events} events of ${result.event_bytes} bytes a round, POST /v1/events with NDJSON of 500, against client.insert as JSONEachRow`);
  console.table(
    result.rounds.map(({ post, jsoneachrow, post_cpu_us: ours, jsoneachrow_cpu_us: theirs }) => ({
      'POST events/s': post,
      'JSONEachRow rows/s': jsoneachrow,
      ratio: Number((post / jsoneachrow).toFixed(2)),
      'CPU us/event: service': ours.service,
      'engine': ours.engine,
      'load': ours.load,
      'CPU us/row: client': theirs.client,
      'engine ': theirs.engine,
    })),
  );
  console.log(`median ratio: ${result.ratio}`);
}

if (values.only === undefined || values.only === 'timeline') {
  const result = await benchTimeline(Number(values.stored));
  results['timeline'] = result;
  console.log(`\nTimeline: pages of ${result.page} from ${result.stored} stored events, over HTTP, completeness included`);
  console.table(result.agents);
}

if (values.only === undefined || values.only === 'kafka') {
  const result = await benchKafka(Number(values.events), Number(values.rounds));
  results['kafka'] = result;
  console.log(`\nKafka: ${result.events} events of ${result.event_bytes} bytes in ${result.partitions} partitions, recorded and committed, against an eachBatch of kafkajs that does nothing`);
  console.table(
    result.rounds.map(({ consumer, empty, consumer_cpu_us: ours, empty_cpu_us: theirs }) => ({
      'recorded events/s': consumer,
      'empty eachBatch/s': empty,
      ratio: Number((consumer / empty).toFixed(2)),
      'CPU us/event: service': ours.service,
      'engine': ours.engine,
      'broker': ours.broker,
      'CPU us/message: kafkajs': theirs.client,
      'broker ': theirs.broker,
    })),
  );
  console.log(`median ratio: ${result.ratio}`);
}

await mkdir('bench-results', { recursive: true });
const file = `bench-results/${new Date().toISOString().replaceAll(':', '-')}.json`;
await writeFile(file, `${JSON.stringify(results, undefined, 2)}\n`);
console.log(`\nwritten to ${file}`);
