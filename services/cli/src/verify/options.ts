import { readFile } from 'node:fs/promises';
import { readTrust, type Trust } from '@agent-audit/verify';
import { CliError, EXIT } from '../exit-codes.ts';

/** `--key` is the key to the API; these are what logs and witnesses sign with. */
export interface TrustOptions {
  readonly logKey?: readonly string[];
  readonly witnesses: string;
}

/** @throws CliError `usage` */
export async function trustOf({ logKey = [], witnesses }: TrustOptions): Promise<Trust> {
  if (logKey.length === 0) throw new CliError(EXIT.usage, 'no key: give the public key that the log signs with by --log-key; GET /v1/logs lists the keys, but get it by another way than the log');
  if (!/^\d{1,3}$/.test(witnesses)) throw new CliError(EXIT.usage, '--witnesses must be a whole number');
  try {
    return readTrust(await Promise.all(logKey.map(async (given) => (isKey(given) ? given : readFile(given, 'utf8')))), Number(witnesses));
  } catch (error) {
    throw new CliError(EXIT.usage, `the keys cannot be used: ${(error as Error).message}`, { cause: error });
  }
}

/** A verifier key holds two plus signs; a public key is 44 characters of base64. */
const isKey = (text: string): boolean => /\+[\da-f]{8}\+/.test(text) || /^[A-Za-z\d+/]{43}=$/.test(text);

/** A file that the command line names. @throws CliError `unverifiable` */
export async function fileOf(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new CliError(EXIT.unverifiable, `${what} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
