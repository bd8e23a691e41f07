import { spawn } from 'node:child_process';
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { parsePrivateKey, publicKeyOf, rawPublic } from '../note.ts';
import { LogKeyError, type KeySigner, type KeySource } from './log-key.ts';

/** Bits of a file's mode that let others than its owner do anything. */
export const OTHERS = 0o077;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** RFC 8410: what stands before the 32 bytes in a public key as key management services give it (SPKI, DER). */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');
const OUTPUT_BYTES_MAX = 4096;
const STDERR_SHOWN_MAX = 500;

/** A key in memory. */
export function privateKeySigner(key: KeyObject, source: KeySource): KeySigner {
  return { publicKey: rawPublic(createPublicKey(key)), source, sign: async (text) => sign(null, Buffer.from(text), key) };
}

/**
 * A key in a file: Ed25519 as PEM (PKCS #8), or `PRIVATE+KEY+…` as golang.org/x/mod/sumdb/note writes it, whose name is not used.
 *
 * @param onOthers called where others may read the file
 * @throws LogKeyError that never holds what is in the file
 */
export async function readKeyFile(path: string, source: KeySource, onOthers: () => void): Promise<KeySigner> {
  let text: string;
  try {
    if (((await stat(path)).mode & OTHERS) !== 0) onOthers();
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof LogKeyError) throw error;
    throw new LogKeyError('log_key_unreadable', `the key ${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
  let key: KeyObject | undefined;
  try {
    key = text.startsWith('PRIVATE+KEY+') ? parsePrivateKey(text.trimEnd()).key : createPrivateKey(text);
  } catch {
    // OpenSSL's reasons help nobody; the text is a secret.
  }
  if (key?.asymmetricKeyType !== 'ed25519') throw new LogKeyError('log_key_unreadable', `${path} holds no Ed25519 private key, as PEM (PKCS #8, not encrypted) or as PRIVATE+KEY+…; "openssl genpkey -algorithm ed25519" makes one`);
  return privateKeySigner(key, source);
}

export interface SignCommand {
  /** What is run, without a shell: words separated by spaces, or a JSON array of strings where a word has spaces in it. */
  readonly command: string;
  /** Base64 of the 32 bytes, or of the DER of the public key (SPKI). */
  readonly publicKey: string;
  readonly timeoutMs?: number;
}

/**
 * A key that only a command can use. It gets the text on standard input, and prints base64 of the signature. What it prints
 * is verified.
 *
 * @throws LogKeyError when the settings cannot be used; it is not run yet
 */
export function commandSigner({ command, publicKey: encoded, timeoutMs = 10_000 }: SignCommand): KeySigner {
  const [program, ...args] = wordsOf(command);
  const publicKey = parsePublicKey(encoded);
  const key = publicKeyOf(publicKey);
  return {
    publicKey, source: 'command',
    sign: async (text) => {
      const printed = await run(program, args, text, timeoutMs);
      const signature = Buffer.from(printed, 'base64');
      if (signature.length !== SIGNATURE_BYTES) throw new LogKeyError('log_key_cannot_sign', `${program} has to print base64 of 64 bytes; it printed ${printed.length} characters, which are ${signature.length} bytes`);
      if (!verify(null, Buffer.from(text), key, signature)) throw new LogKeyError('log_key_cannot_sign', `${program} has signed with another key than the public key that is set, or signed something else than its standard input`);
      return signature;
    },
  };
}

function wordsOf(command: string): [string, ...string[]] {
  let words: unknown = command.split(/\s+/).filter((word) => word !== '');
  if (command.trimStart().startsWith('[')) {
    try {
      words = JSON.parse(command);
    } catch {
      words = undefined;
    }
  }
  if (!Array.isArray(words) || words.length === 0 || !words.every((word) => typeof word === 'string') || words[0] === '') throw new LogKeyError('log_key_setting', 'the command that signs is neither words separated by spaces nor a JSON array of strings');
  return words as [string, ...string[]];
}

function parsePublicKey(encoded: string): Buffer {
  const bytes = Buffer.from(encoded, 'base64');
  const raw = bytes.subarray(0, SPKI_HEAD.length).equals(SPKI_HEAD) ? bytes.subarray(SPKI_HEAD.length) : bytes;
  if (raw.length !== KEY_BYTES) throw new LogKeyError('log_key_setting', `the public key has to be base64 of an Ed25519 key: of its 32 bytes, or of its DER, which are 44; it is of ${bytes.length}`);
  return raw;
}

/** @returns what it printed, without white space around it @throws LogKeyError with the beginning of its standard error */
async function run(program: string, args: readonly string[], input: string, timeoutMs: number): Promise<string> {
  const child = spawn(program, args, { stdio: 'pipe', timeout: timeoutMs, killSignal: 'SIGKILL' });
  const startedAt = performance.now();
  const printed = collect(child.stdout);
  const complained = collect(child.stderr);
  // It may read nothing and be right all the same.
  child.stdin.on('error', () => {}).end(input);
  const ended = Promise.withResolvers<string | undefined>();
  child.on('error', (error: NodeJS.ErrnoException) => ended.resolve(`cannot be run: ${error.code ?? error.message}`));
  // A child of its own may still hold its output: that is not waited for.
  child.on('exit', (code, signal) => {
    if (code === 0) ended.resolve(undefined);
    else ended.resolve(signal === 'SIGKILL' && performance.now() - startedAt >= timeoutMs ? `has not answered within ${timeoutMs} ms` : `ended with ${signal ?? code}`);
  });
  const wrong = await ended.promise;
  if (wrong === undefined) await Promise.race([printed.done, new Promise((resolve) => setTimeout(resolve, timeoutMs).unref())]);
  child.stdout.destroy();
  child.stderr.destroy();
  if (wrong !== undefined) {
    const said = complained.text().slice(0, STDERR_SHOWN_MAX).trim();
    throw new LogKeyError('log_key_cannot_sign', `${program} ${wrong}${said === '' ? '' : `; it says: ${said}`}`);
  }
  return printed.text().trim();
}

/** The beginning of a stream; the rest is read and dropped, so that the command does not wait. */
function collect(stream: NodeJS.ReadableStream): { text: () => string; done: Promise<void> } {
  let bytes = Buffer.alloc(0);
  const done = Promise.withResolvers<void>();
  stream.on('data', (chunk: Buffer) => {
    if (bytes.length < OUTPUT_BYTES_MAX) bytes = Buffer.concat([bytes, chunk.subarray(0, OUTPUT_BYTES_MAX - bytes.length)]);
  });
  stream.on('close', () => done.resolve());
  return { text: () => bytes.toString(), done: done.promise };
}
