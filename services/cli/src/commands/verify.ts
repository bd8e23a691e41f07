import { Command } from 'commander';
import type { Io } from '../io.ts';
import type { TrustOptions } from '../verify/options.ts';
import type { LogOptions } from '../verify/verify-logs.ts';

/** What verifies is loaded when it is asked for: it brings half of the service along. */
export function verifyCommand(io: Io): Command {
  return new Command('verify').description('check what was recorded against what was signed, without trusting the server')
    .addCommand(event(io)).addCommand(log(io)).addCommand(bundle(io));
}

const addTrust = (command: Command): Command => command
  .option('--log-key <key>', 'public key that a log or a witness signs with, or a file with one a line; repeat for several', (value: string, before: string[] = []) => [...before, value])
  .option('--witnesses <n>', 'witnesses that must have signed, of those whose keys are given', '0');

function event(io: Io): Command {
  const command = addTrust(new Command('event').description('one event, by its proof: that it is in a log that was signed').argument('<event.json>', 'the event, or the answer that holds it')
    .requiredOption('--proof <file>', 'its proof, as GET /v1/events/{event_id}/proof answers it'));
  return command.action(async (file: string, { proof, ...options }: TrustOptions & { proof: string }) => {
    const { fileOf, showReports, trustOf, verifyEvent } = await load();
    const trust = await trustOf(options);
    await showReports(command, io, async () => [verifyEvent(await fileOf(file, 'the event'), (await fileOf(proof, 'the proof')).toString('utf8'), trust)]);
  });
}

function log(io: Io): Command {
  const command = addTrust(new Command('log').description('a log: that it only grew; and with --against-store, that the record holds what it was made of')
    .argument('[log]', 'its folder, or its address <server>/v1/logs/<tenant>/<collector>; without it, all logs of the data folder')
    .option('--from <file>', 'an older checkpoint; a folder of them, where all logs are verified')
    .option('--save <file>', 'where to keep the checkpoint that was verified, for --from; likewise'))
    .option('--against-store', 'read every stored event again, and name what was edited, removed, added, reordered or backdated')
    .option('--data-dir <folder>', 'data folder of the service (default: that of the log, or ./data)')
    .option('--clickhouse-url <url>', 'read the record from this ClickHouse server; its password is AGENT_AUDIT_CLICKHOUSE_PASSWORD')
    .option('--clickhouse-user <name>', 'user at that server (default: default)')
    .option('--clickhouse-database <name>', 'database of the record', 'agent_audit');
  return command.action(async (target: string | undefined, options: TrustOptions & LogOptions) => {
    const { showReports, trustOf, verifyLogs } = await load();
    const trust = await trustOf(options);
    await showReports(command, io, () => verifyLogs(target, { ...command.optsWithGlobals(), ...options }, trust, io));
  });
}

function bundle(io: Io): Command {
  const command = addTrust(new Command('bundle').description('a folder that agent-audit bundle wrote: that it is whole, and each event in a log that was signed').argument('<folder>'));
  return command.action(async (folder: string, options: TrustOptions) => {
    const { showReports, startProgress, trustOf, verifyBundle } = await load();
    const trust = await trustOf(options);
    let progress: ReturnType<typeof startProgress> | undefined;
    const onEvents = (count: number, total: number): void => {
      progress ??= startProgress(io, total, 'events');
      progress.read(count);
      progress.sent(count);
    };
    await showReports(command, io, async () => [await verifyBundle(folder, trust, onEvents).finally(() => progress?.stop())]);
  });
}

async function load() {
  const [verify, options, report, logs, progress] = await Promise.all([import('@agent-audit/verify'), import('../verify/options.ts'), import('../verify/show-report.ts'), import('../verify/verify-logs.ts'), import('../progress.ts')]);
  return { ...verify, ...progress, ...options, ...report, ...logs };
}
