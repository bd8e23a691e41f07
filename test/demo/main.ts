/**
 * `npm run demo`: an incident with AI agents, recorded and told back from the record. Runs against the service at
 * AGENT_AUDIT_URL with AGENT_AUDIT_KEY when a key is set, else against one of its own that it removes afterwards (`--keep` leaves it
 * running until Ctrl-C).
 */
import { randomBytes } from 'node:crypto';
import { Client, painter, plural, safe, wantsColour } from '@agent-audit/cli';
import { record } from './api.ts';
import { castOf } from './cast.ts';
import { incident, INCIDENT_MS } from './incident.ts';
import { investigate } from './investigate.ts';
import { nextSteps } from './next-steps.ts';
import { print } from './print.ts';
import { findService, type DemoService } from './service.ts';
import { tell } from './story.ts';

const COLUMNS_MAX = 110;

const { stdout } = process;
const paint = painter(wantsColour(stdout, process.env));
const columns = Math.min(COLUMNS_MAX, stdout.isTTY ? stdout.columns || 80 : 100);
const write = (text: string): void => void stdout.write(text);

async function demo(service: DemoService): Promise<void> {
  const client = new Client(service);
  const runId = `demo-${randomBytes(3).toString('hex')}`;
  const startMs = Date.now() - INCIDENT_MS - 5_000;
  const events = incident({ runId, startMs });
  const { session } = castOf(runId);
  const ofIncident = events.filter((event) => event.session_id === session).length;
  await record(client, events);
  write(paint('dim', `Recorded a made-up incident at ${service.url}: ${plural(events.length, 'event')}, ${ofIncident} of them its last minutes.\nEverything below is told from the service's answers.\n\n`));

  const window = { from: new Date(startMs - 1_000).toISOString(), to: new Date().toISOString() };
  const found = await investigate(client, session, window, ofIncident);
  write(print(tell(found), paint, columns));
  write(`\n${paint('bold', 'To look further')}\n`);
  if (!service.own || keep) write(`${exportsFor(service)}\n`);
  else write(paint('dim', 'This service was made for the demo and goes now. To paste these, run the demo again with\n`npm run demo -- --keep`, or against your own service (AGENT_AUDIT_URL and AGENT_AUDIT_KEY).\n'));
  for (const line of nextSteps(found, window, session)) write(`${line.startsWith('#') ? paint('dim', line) : line}\n`);
}

/** A key of ours may be shown; one from the environment is known to who set it. */
function exportsFor({ url, key, own }: DemoService): string {
  return `export AGENT_AUDIT_URL=${url}${own ? ` AGENT_AUDIT_KEY=${key}` : ''}`;
}

const keep = process.argv.includes('--keep');
let service: DemoService | undefined;
let stopping: Promise<void> | undefined;
const stop = (): Promise<void> => (stopping ??= service?.stop() ?? Promise.resolve());
const interrupted = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, resolve);
});

const run = async (): Promise<void> => {
  if (!process.env['AGENT_AUDIT_KEY']) write(paint('dim', 'Starting a service for the demo …\n'));
  service = await findService(process.env);
  await demo(service);
  if (keep && service.own) {
    write(`\nThe service keeps running; Ctrl-C ends it and removes what it recorded.\n`);
    await interrupted;
  }
};

try {
  const ended = await Promise.race([run().then(() => 'done' as const), interrupted.then(() => 'interrupted' as const)]);
  process.exitCode = ended === 'done' || keep ? 0 : 130;
} catch (error) {
  process.stderr.write(`The demo failed: ${safe(error instanceof Error ? error.message : String(error))}\n`);
  process.exitCode = 1;
} finally {
  await stop();
}
