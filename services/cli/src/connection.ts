import { readFile } from 'node:fs/promises';
import { CliError, EXIT } from './exit-codes.ts';
import type { Io } from './io.ts';

export interface Connection {
  /** Without a slash at its end. */
  readonly url: string;
  readonly key: string;
}

/** The options that every command takes. */
export interface ConnectionOptions {
  readonly url?: string;
  readonly key?: string;
  readonly keyFile?: string;
}

export const DEFAULT_URL = 'http://127.0.0.1:8080';

/** Where to ask and as whom. An option goes before the environment. @throws CliError `usage` */
export async function findConnection(options: ConnectionOptions, io: Pick<Io, 'env' | 'say'>): Promise<Connection> {
  const url = readUrl(options.url ?? (io.env['AGENT_AUDIT_URL'] || DEFAULT_URL));
  return { url, key: await readKey(options, io) };
}

function readUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new CliError(EXIT.usage, `the server's address must be a URL such as ${DEFAULT_URL} (--url or AGENT_AUDIT_URL)`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new CliError(EXIT.usage, "the server's address must be a plain URL, without user, query or fragment");
  }
  return url.href.replace(/\/+$/, '');
}

async function readKey({ key, keyFile }: ConnectionOptions, io: Pick<Io, 'env' | 'say'>): Promise<string> {
  if (key !== undefined && keyFile !== undefined) throw new CliError(EXIT.usage, 'give --key-file or --key, not both');
  if (key !== undefined) io.say('warning: others on this machine can see a key on the command line; use AGENT_AUDIT_KEY or --key-file');
  const found = (keyFile === undefined ? (key ?? io.env['AGENT_AUDIT_KEY'] ?? '') : await readKeyFile(keyFile)).trim();
  if (found === '') throw new CliError(EXIT.usage, 'no key: set AGENT_AUDIT_KEY, or name a file that holds one with --key-file');
  // The message must not repeat what was given: it may be most of a key.
  if (!/^[\x21-\x7e]{1,512}$/.test(found)) throw new CliError(EXIT.usage, 'the key must be one word of printable ASCII characters');
  return found;
}

async function readKeyFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new CliError(EXIT.usage, `cannot read the key file: ${(error as Error).message}`, { cause: error });
  }
}
