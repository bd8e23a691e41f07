import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { ReplayAnswer } from '@agent-audit/schemas';
import { Command } from 'commander';
import { notOurs, type Client } from '../client.ts';
import { plural } from '../completeness.ts';
import { CliError, EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { clientOf, wantsJson } from '../options.ts';
import { safe } from '../terminal.ts';
import { why } from './quarantine-list.ts';

interface Options {
  readonly from?: string;
  readonly to?: string;
  readonly code?: string;
  readonly event?: string;
}

/** Ids in one request. */
const IDS_MAX = 1000;

export function quarantineReplay(io: Io): Command {
  const command = new Command('replay')
    .description('read refused events again, and record those that are valid now (needs the scope admin)')
    .argument('[id...]', 'entries; or give a window')
    .option('--from <time>', 'all that are not replayed, received from then on: RFC 3339, or relative such as -24h')
    .option('--to <time>', 'until then (default: now)')
    .option('--code <code>', 'only with an error of this code, such as too_big')
    .option('--event <file>', 'record what this file holds in place of the one entry; - is standard input');
  return command.action(async (ids: string[]) => {
    const options = command.opts<Options>();
    check(ids, options);
    const client = await clientOf(command, io);
    const json = wantsJson(command);
    const sum = { replayed: 0, duplicates: 0, left: 0 };
    for await (const bytes of answers(client, io, ids, options)) {
      const answer = readAnswer(client, bytes);
      sum.replayed += answer.replayed;
      sum.duplicates += answer.duplicates;
      sum.left += answer.still_rejected.length + answer.not_found.length;
      if (json) await io.outLine(bytes.toString('utf8').trimEnd());
      for (const { quarantine_id: id, errors } of answer.still_rejected) io.say(`still rejected: ${safe(id)}: ${why(errors)}`);
      for (const id of answer.not_found) io.say(`not found: ${safe(id)}`);
    }
    if (!json) await io.outLine(`${sum.replayed} replayed, ${plural(sum.duplicates, 'duplicate')}, ${sum.left} not recorded`);
    if (sum.left > 0) throw new CliError(EXIT.rejected, `${plural(sum.left, 'entry', 'entries')} could not be recorded; they stay in quarantine`);
  });
}

function check(ids: readonly string[], { from, to, code, event }: Options): void {
  if (ids.length === 0 && from === undefined) throw new CliError(EXIT.usage, 'say what to replay: ids, or a window with --from');
  if (ids.length > 0 && (from ?? to ?? code) !== undefined) throw new CliError(EXIT.usage, 'give ids or a window, not both');
  if (event !== undefined && ids.length !== 1) throw new CliError(EXIT.usage, '--event takes the place of one entry: give its id');
}

async function* answers(client: Client, io: Io, ids: readonly string[], { from, to, code, event }: Options): AsyncGenerator<Buffer> {
  const ask = (body: string | Buffer): Promise<Buffer> =>
    client.ask('/v1/quarantine/replay', { method: 'POST', headers: { 'content-type': 'application/json' }, body: Buffer.from(body as string) });
  if (event !== undefined) {
    // Byte for byte: what the file holds is what is recorded.
    yield await ask(Buffer.concat([Buffer.from(`{"id":${JSON.stringify(ids[0])},"event":`), await readEvent(io, event), Buffer.from('}')]));
  } else if (ids.length > 0) {
    for (let i = 0; i < ids.length; i += IDS_MAX) yield await ask(JSON.stringify({ ids: ids.slice(i, i + IDS_MAX) }));
  } else {
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const answer = await ask(JSON.stringify({ from, to, code, cursor }));
      yield answer;
      cursor = readAnswer(client, answer).next_cursor;
    }
  }
}

async function readEvent(io: Io, file: string): Promise<Buffer> {
  if (file === '-') return buffer(io.stdin);
  try {
    return await readFile(file);
  } catch (error) {
    throw new CliError(EXIT.usage, `cannot read the event: ${(error as Error).message}`, { cause: error });
  }
}

function readAnswer(client: Client, bytes: Buffer): ReplayAnswer {
  try {
    return ReplayAnswer.parse(JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    throw notOurs(client.url, error);
  }
}
