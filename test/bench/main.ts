import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { benchAway } from './away.ts';
import { benchIngest } from './ingest.ts';
import { benchKafka } from './kafka.ts';
import { benchLatency, benchSingles } from './latency.ts';
import { benchProof } from './proof.ts';
import { benchTimeline } from './timeline.ts';
import { benchVerify } from './verify.ts';

/** `npm run bench -- [--only ingest|proof|verify|timeline|latency|singles|kafka|away] [--events N] [--stored N]`: prints tables, writes JSON. Asserts nothing. */
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    events: { type: 'string', default: '200000' },
    rounds: { type: 'string', default: '5' },
    stored: { type: 'string', default: '10000000' },
    minutes: { type: 'string', default: '1' },
  },
});

const results: Record<string, unknown> = { at: new Date().toISOString(), node: process.version, cpus: cpus().length, model: cpus()[0]?.model };

if (values.only === undefined || values.only === 'ingest') {
  const result = await benchIngest(Number(values.events), Number(values.rounds));
  results['ingest'] = result;
  console.log(`\nIngest: ${result.events} events of ${result.event_bytes} bytes a round, POST /v1/events with NDJSON of 500; the same rows as JSONEachRow`);
  console.table(
    result.rounds.map(({ acknowledged, stored, client_insert: client, bare_insert: bare, stored_cpu_us: ours, bare_cpu_us: theirs }) => ({
      'acknowledged/s': acknowledged,
      'stored/s': stored,
      'client.insert/s': client,
      'bare INSERT/s': bare,
      'acknowledged : client': Number((acknowledged / client).toFixed(2)),
      'stored : client': Number((stored / client).toFixed(2)),
      'stored : bare': Number((stored / bare).toFixed(2)),
      'CPU us/event: service': ours.service,
      'engine': ours.engine,
      'load': ours.load,
      'CPU us/row, bare: engine': theirs.engine,
    })),
  );
  console.log(`medians: ${result.acknowledged_to_client_insert} x client.insert until acknowledged, ${result.stored_to_client_insert} x until it can be queried, which is ${result.stored_to_bare_insert} x a bare INSERT`);
}

if (values.only === undefined || values.only === 'proof') {
  const result = await benchProof(Number(values.events), Number(values.rounds));
  results['proof'] = result;
  console.log(`\nProof: ${result.events} events a round, with logs and without, in turn`);
  console.table(
    result.rounds.map(({ on, off }) => ({
      'acknowledged/s, on': on.acknowledged, 'off': off.acknowledged, 'stored/s, on': on.stored, 'off ': off.stored, 'proven/s': on.proven,
      'CPU us/event: service, on': on.cpu_us.service, 'off  ': off.cpu_us.service, 'engine, on': on.cpu_us.engine, 'off   ': off.cpu_us.engine,
    })),
  );
  console.log(`medians, with : without: acknowledged ${result.acknowledged}, stored ${result.stored}; ${result.bytes_per_event} bytes per event`);
}

if (values.only === undefined || values.only === 'verify') {
  const result = await benchVerify(Number(values.events), Number(values.rounds));
  results['verify'] = result;
  console.log(`\nVerify: ${result.events} events, events/s`);
  console.table(result.rounds.map(({ sha256, log, store }) => ({ 'SHA-256 of the same bytes, one core': sha256, 'log against its checkpoint': log, 'record against the log': store })));
  console.log(`medians: the record at ${result.store_to_sha256} x, the log at ${result.log_to_sha256} x the rate of SHA-256 alone`);
}

if (values.only === undefined || values.only === 'timeline') {
  const result = await benchTimeline(Number(values.stored));
  results['timeline'] = result;
  console.log(`\nTimeline: pages of ${result.page} from ${result.stored} stored events, over HTTP, completeness included`);
  console.table(result.agents);
}

if (values.only === undefined || values.only === 'latency') {
  const result = await benchLatency();
  results['latency'] = result;
  console.log('\nLatency at half of the highest rate, NDJSON of 500');
  console.table(result);
}

if (values.only === undefined || values.only === 'singles') {
  const result = await benchSingles(Number(values.rounds));
  results['singles'] = result;
  console.log('\nOne event a request, against a bare hono route');
  console.table(result);
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

// Minutes, so only when it is asked for.
if (values.only === 'away') {
  const result = await benchAway(Number(values.minutes));
  results['away'] = result;
  console.log(`\nClickHouse away for ${values.minutes} minutes at half of the highest rate`);
  console.table(result);
}

await mkdir('bench-results', { recursive: true });
const file = `bench-results/${new Date().toISOString().replaceAll(':', '-')}.json`;
await writeFile(file, `${JSON.stringify(results, undefined, 2)}\n`);
console.log(`\nwritten to ${file}`);
