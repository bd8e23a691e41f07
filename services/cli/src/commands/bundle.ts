import { LogList } from '@agent-audit/schemas';
import { Command } from 'commander';
import { addFilters, filterParams } from '../event-filters.ts';
import { CliError, EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { clientOf, wantsJson, windowParams, type WindowOptions } from '../options.ts';
import { pages } from '../pages.ts';
import { startProgress } from '../progress.ts';
import { safe } from '../terminal.ts';
import { completenessLine } from '../completeness.ts';

const PATH = '/v1/events';

export function bundleCommand(io: Io): Command {
  const command = addFilters(new Command('bundle').description('events with all that proves them, as a folder for who checks them elsewhere: agent-audit verify bundle')
    .requiredOption('--from <time>', 'begin of the window, included: RFC 3339, or relative such as -24h')
    .option('--to <time>', 'end of the window, not included (default: now)')
    .requiredOption('--out <folder>', 'where to write it; a new folder')
    .option('--agent <agent_id>', 'only of this agent; repeat for several', (value: string, before: string[] = []) => [...before, value]), ['agent_id']);
  return command.action(async ({ out, agent = [], ...options }: WindowOptions & { out: string; agent?: string[] }) => {
    const [{ CannotVerify, writeBundle }, { urlSource }] = await Promise.all([import('@agent-audit/verify'), import('../verify/url-source.ts')]);
    const client = await clientOf(command, io);
    const params = [...windowParams(options), ...agent.map((id) => ['agent_id', id] as const), ...filterParams(options as unknown as Record<string, unknown>)];
    const { logs } = await client.askJson('/v1/logs', LogList);
    const progress = startProgress(io, undefined, 'events');
    try {
      const manifest = await writeBundle({
        folder: out, query: { server: client.url, path: PATH, params: params.map(([name, value]) => [name, value]) }, createdAt: new Date().toISOString(),
        pages: pages(client, PATH, 'events', params, { limit: undefined, cursor: undefined }),
        logOf: async (logId) => {
          const log = logs.find(({ log_id: id }) => id === logId);
          return log === undefined ? undefined : { source: urlSource(client, `/v1/logs/${logId}`), keys: log.keys.map((key) => key.verifier_key) };
        },
        onEvents: progress.sent,
      });
      progress.stop();
      const { counts, unproven, files, completeness } = manifest;
      if (wantsJson(command)) return await io.outLine(JSON.stringify({ folder: out, ...counts, files: Object.keys(files).length, unproven }));
      await io.outLine(`${counts.events.toLocaleString('en')} events, ${counts.proven.toLocaleString('en')} of them with proof, in ${safe(out)}`);
      for (const { log_id: log, events, reason } of unproven) io.say(`without proof: ${events} events of ${safe(log)}: ${reason}`);
      if (completeness !== undefined) io.say(completenessLine(completeness as Parameters<typeof completenessLine>[0]));
    } catch (error) {
      if (error instanceof CannotVerify) throw new CliError(EXIT.unverifiable, safe(error.message), { cause: error });
      throw error;
    } finally {
      progress.stop();
    }
  });
}
