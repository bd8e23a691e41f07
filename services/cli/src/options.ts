import { InvalidArgumentError, type Command } from 'commander';
import { Client, type Params } from './client.ts';
import { findConnection, type ConnectionOptions } from './connection.ts';
import type { Io } from './io.ts';

export interface ListOptions {
  readonly limit: number;
  readonly all?: boolean;
  readonly cursor?: string;
}

/** The options of a list over a window. */
export interface WindowOptions {
  readonly from: string;
  readonly to?: string;
  readonly order?: string;
}

export function windowParams({ from, to, order }: WindowOptions): Params {
  return [['from', from], ...(to === undefined ? [] : [['to', to] as const]), ...(order === undefined ? [] : [['order', order] as const])];
}

const LIMIT_DEFAULT = 100;

export function addPaging(command: Command): Command {
  return command
    .option('--limit <n>', 'most lines to show', wholeNumber, LIMIT_DEFAULT)
    .option('--all', 'show every one, however many')
    .option('--cursor <cursor>', 'read on where an earlier answer was cut');
}

export function pageOptions({ limit, all, cursor }: ListOptions): { limit: number | undefined; cursor: string | undefined } {
  return { limit: all === true ? undefined : limit, cursor };
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) < 1) throw new InvalidArgumentError('It must be a whole number from 1.');
  return Number(text);
}

/** The client that the options before or after the command's name describe. */
export async function clientOf(command: Command, io: Io): Promise<Client> {
  return new Client(await findConnection(command.optsWithGlobals<ConnectionOptions>(), io));
}

export function wantsJson(command: Command): boolean {
  return command.optsWithGlobals<{ json?: boolean }>().json === true;
}
