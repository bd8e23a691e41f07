import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder, writeDurably } from '../write-file.ts';
import { OTHERS, privateKeySigner, readKeyFile } from './key-signers.ts';
import { LogKeyError, type KeySigner, type LogKey } from './log-key.ts';

const RECORD = 'keys.json';
const PEM = /^[\da-f]{64}\.pem$/;
/** As `Date.toISOString` writes it. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** A key's name in this process and on disk. */
export const idOf = ({ publicKey }: Pick<LogKey, 'publicKey'>): string => Buffer.from(publicKey).toString('hex');

/**
 * Where keys are kept: `<public key in hex>.pem` for each private part, and `keys.json`, which knows every key there ever was.
 * A private part is written before the record names it, and removed after the record says that its time is over; so what a crash leaves
 * between the two is told from the record.
 */
export class KeyFolder {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** @throws LogKeyError when others may look into it */
  static async open(path: string): Promise<KeyFolder> {
    if ((await mkdir(path, { recursive: true, mode: 0o700 })) !== undefined) await syncFolder(dirname(path));
    if (((await stat(path)).mode & OTHERS) !== 0) throw new LogKeyError('log_key_permissions', `others may look into ${path}, where the keys of the log are; run: chmod 700 ${path}`);
    for (const name of await readdir(path)) if (name.endsWith('.tmp')) await rm(join(path, name));
    return new KeyFolder(path);
  }

  /** The keys whose private part is here. @throws LogKeyError when one cannot be read, or others may read it */
  async signers(): Promise<KeySigner[]> {
    const names = (await readdir(this.#path)).filter((name) => PEM.test(name));
    return Promise.all(names.map(async (name) => {
      const path = join(this.#path, name);
      const signer = await readKeyFile(path, 'folder', () => {
        throw new LogKeyError('log_key_permissions', `others may read ${path}, a key of the log; run: chmod 600 ${path}`);
      });
      if (`${idOf(signer)}.pem` !== name) throw new LogKeyError('log_key_unreadable', `${path} holds another key than its name says`);
      return signer;
    }));
  }

  /** A new key, on disk for good. */
  async create(): Promise<KeySigner> {
    const { privateKey } = generateKeyPairSync('ed25519');
    const signer = privateKeySigner(privateKey, 'folder');
    await writeDurably(this.#pathOf(signer), privateKey.export({ format: 'pem', type: 'pkcs8' }) as string, 0o600);
    return signer;
  }

  async remove(key: Pick<LogKey, 'publicKey'>): Promise<void> {
    await rm(this.#pathOf(key), { force: true });
    await syncFolder(this.#path);
  }

  /** All keys there ever were, oldest first. @throws LogKeyError */
  async load(): Promise<LogKey[]> {
    const path = join(this.#path, RECORD);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    try {
      return (JSON.parse(text) as { keys: unknown[] }).keys.map(parseKey);
    } catch (error) {
      throw new LogKeyError('log_key_unreadable', `${path} is damaged (${(error as Error).message}); restore it from a backup`, { cause: error });
    }
  }

  async save(keys: readonly LogKey[]): Promise<void> {
    await writeDurably(join(this.#path, RECORD), formatKeys(keys), 0o600);
  }

  #pathOf(key: Pick<LogKey, 'publicKey'>): string {
    return join(this.#path, `${idOf(key)}.pem`);
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

export function formatKeys(keys: readonly LogKey[]): string {
  return `${JSON.stringify({
    keys: keys.map(({ publicKey, createdAt, retiresAt, endorsement, source }) => ({
      public_key: base64(publicKey), created_at: createdAt, retires_at: retiresAt ?? null, endorsement: endorsement === undefined ? null : base64(endorsement), source,
    })),
  }, undefined, 2)}\n`;
}

function parseKey(value: unknown): LogKey {
  const { public_key: publicKey, created_at: createdAt, retires_at: retiresAt, endorsement, source } = value as Record<string, unknown>;
  if (typeof createdAt !== 'string' || !TIME.test(createdAt)) throw new TypeError('a created_at is no time');
  if (source !== 'folder' && source !== 'file' && source !== 'command') throw new TypeError('a source is none');
  return {
    publicKey: bytesOf(publicKey, 32), createdAt, source,
    // A person may have written it.
    retiresAt: retiresAt === null ? undefined : new Date(String(retiresAt)).toISOString(),
    endorsement: endorsement === null ? undefined : bytesOf(endorsement, 64),
  };
}

function bytesOf(encoded: unknown, length: number): Buffer {
  const bytes = Buffer.from(String(encoded), 'base64');
  if (bytes.length !== length) throw new TypeError(`something that has to be base64 of ${length} bytes is not`);
  return bytes;
}
