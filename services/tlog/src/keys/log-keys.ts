import type { Clock, Log } from '@agent-audit/shared';
import { formatNote, noteKeyId, type NoteSignature } from '../note.ts';
import { endorsementText } from './endorsement.ts';
import { formatKeys, idOf, KeyFolder } from './key-folder.ts';
import { commandSigner, readKeyFile, type SignCommand } from './key-signers.ts';
import { LogKeyError, type KeySigner, type LogKey } from './log-key.ts';

export interface LogKeys {
  /** The text of a note, signed by every key that is in force, under the log's name. @throws LogKeyError where none can sign, NoteError for a name or a text that no note may have */
  sign(origin: string, text: string): Promise<string>;
  /** All keys there ever were, oldest first. */
  list(): readonly LogKey[];
  /**
   * A new key takes over: endorsed by the one before, which goes on signing beside it for the overlap.
   *
   * @returns the new key, when it is on disk for good @throws LogKeyError where the key comes from a file or a command
   */
  rotate(): Promise<LogKey>;
}

export interface LogKeysOptions {
  /** Where keys are made and kept, and the record of all keys. */
  readonly folder: string;
  /** Keys made elsewhere, oldest first: they sign instead of one in the folder. */
  readonly keyFiles?: readonly string[];
  /** A key that only a command can use. Newer than the files. */
  readonly command?: SignCommand | undefined;
  /** How long a key goes on signing beside the one that took over. */
  readonly overlapMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Opens the keys, makes the first one where there is none, and finishes a rotation that broke off. A key that is given for the first time is recorded and
 * endorsed by the latest of those before it that can sign; one that is not given any more stops.
 *
 * @throws LogKeyError when a key cannot be used: nothing is signed with another one instead
 */
export async function openLogKeys(options: LogKeysOptions): Promise<LogKeys> {
  const { folder: path, keyFiles = [], command, overlapMs, clock, log } = options;
  const given = await Promise.all(keyFiles.map((file) => readKeyFile(file, 'file', () => log.warn({ file }, 'others than its owner may read a key of the log'))));
  if (command !== undefined) given.push(commandSigner(command));
  const folder = await KeyFolder.open(path);
  const keys = new KeptKeys({ folder, isGiven: given.length > 0, overlapMs, clock, log });
  await keys.open(await folder.load(), [...(await folder.signers()), ...given]);
  return keys;
}

interface Options {
  readonly folder: KeyFolder;
  /** Whether the keys in force come from files or a command. */
  readonly isGiven: boolean;
  readonly overlapMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

class KeptKeys implements LogKeys {
  readonly #options: Options;
  #keys: readonly LogKey[] = [];
  /** By id. */
  #signers = new Map<string, KeySigner>();
  #rotating: Promise<unknown> = Promise.resolve();

  constructor(options: Options) {
    this.#options = options;
  }

  /** @param signers of a key that is in several places, the last is used */
  async open(recorded: readonly LogKey[], signers: readonly KeySigner[]): Promise<void> {
    const { folder, isGiven, log } = this.#options;
    const now = this.#at(0);
    this.#signers = new Map(signers.map((signer) => [idOf(signer), signer]));
    this.#keys = recorded;
    await this.#removeRetired();
    const missing = recorded.find((key) => key.source === 'folder' && key.retiresAt === undefined && !this.#signers.has(idOf(key)));
    if (missing !== undefined && !isGiven) {
      throw new LogKeyError('log_key_missing', `the log's key ${idOf(missing)} is gone from its folder. Restore ${idOf(missing)}.pem from a backup; or, where it is lost, set its "retires_at" in keys.json to "${now}": then a new key is made, which verifiers must be told`);
    }
    const known = new Set(recorded.map(idOf));
    let keys: LogKey[] = [...recorded];
    const add = ({ publicKey, source }: KeySigner): number => keys.push({ publicKey, createdAt: now, retiresAt: undefined, endorsement: undefined, source });
    for (const [id, signer] of this.#signers) if (!known.has(id)) add(signer);
    const isCurrent = (key: LogKey): boolean => key.retiresAt === undefined && this.#signers.has(idOf(key));
    if (!isGiven && !keys.some(isCurrent)) {
      const signer = await folder.create();
      this.#signers.set(idOf(signer), signer);
      add(signer);
    }
    const current = isGiven ? undefined : keys.findLast(isCurrent);
    keys = keys.map((key): LogKey => {
      const source = this.#signers.get(idOf(key))?.source;
      if (source === undefined) return isRetired(key, now) ? key : { ...key, retiresAt: now };
      if (source !== 'folder') return { ...key, source, retiresAt: undefined };
      return { ...key, source, retiresAt: key === current ? undefined : (key.retiresAt ?? this.#at(this.#options.overlapMs)) };
    });
    for (const [i, key] of keys.entries()) {
      if (i === 0 || key.endorsement !== undefined || !this.#signers.has(idOf(key))) continue;
      keys[i] = { ...key, endorsement: await this.#endorse(keys.slice(0, i), key) };
      if (keys[i].endorsement === undefined && i >= recorded.length) log.warn({ publicKey: shown(key) }, 'no key before it can vouch for a new key of the log: verifiers must be told of it');
    }
    if (formatKeys(keys) !== formatKeys(recorded)) await folder.save(keys);
    this.#keys = keys;
    for (const key of keys.slice(recorded.length)) log.info({ publicKey: shown(key), source: key.source }, 'the log has a new key');
  }

  async sign(origin: string, text: string): Promise<string> {
    await this.#removeRetired();
    const signers = this.#keys.flatMap((key) => this.#signers.get(idOf(key)) ?? []);
    const signed = await Promise.allSettled(signers.map(async (signer): Promise<NoteSignature> => ({ name: origin, keyId: noteKeyId(origin, signer.publicKey), signature: await signer.sign(text) })));
    const signatures = signed.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    const reasons = signed.flatMap((one) => (one.status === 'rejected' ? (one.reason as Error).message : []));
    if (signatures.length === 0) throw new LogKeyError('log_key_cannot_sign', `no key of the log can sign: ${reasons.join('; ')}`);
    if (reasons.length > 0) this.#options.log.warn({ origin, reasons }, 'a key of the log cannot sign; others have');
    return formatNote({ text, signatures });
  }

  list(): readonly LogKey[] {
    return this.#keys;
  }

  async rotate(): Promise<LogKey> {
    const rotated = this.#rotating.then(() => this.#rotate());
    this.#rotating = rotated.catch(() => {});
    return rotated;
  }

  async #rotate(): Promise<LogKey> {
    const { folder, isGiven, overlapMs, log } = this.#options;
    if (isGiven) throw new LogKeyError('log_key_not_ours', 'the log\'s key is given by settings, so it is changed there: name the new file behind the old one, later remove the old one; both sign meanwhile');
    const signer = await folder.create();
    const bare: LogKey = { publicKey: signer.publicKey, createdAt: this.#at(0), retiresAt: undefined, endorsement: undefined, source: 'folder' };
    const key = { ...bare, endorsement: await this.#endorse(this.#keys, bare) };
    const keys = [...this.#keys.map((older) => (older.retiresAt === undefined ? { ...older, retiresAt: this.#at(overlapMs) } : older)), key];
    await folder.save(keys);
    this.#keys = keys;
    this.#signers.set(idOf(key), signer);
    log.info({ publicKey: shown(key), overlapMs }, 'the log has a new key');
    return key;
  }

  /** By the latest that can. */
  async #endorse(older: readonly LogKey[], { publicKey, createdAt }: LogKey): Promise<Uint8Array | undefined> {
    const endorser = older.map((key) => this.#signers.get(idOf(key))).findLast((signer) => signer !== undefined);
    try {
      return await endorser?.sign(endorsementText(endorser.publicKey, publicKey, createdAt));
    } catch (error) {
      this.#options.log.warn({ err: error }, 'a key of the log could not vouch for the next one; trying again at the next start');
      return undefined;
    }
  }

  /** Forgets private parts whose time is over. What cannot be removed now is removed at the next start. */
  async #removeRetired(): Promise<void> {
    const { folder, log } = this.#options;
    const now = this.#at(0);
    for (const key of this.#keys) {
      if (!isRetired(key, now) || this.#signers.get(idOf(key))?.source !== 'folder') continue;
      this.#signers.delete(idOf(key));
      try {
        await folder.remove(key);
        log.info({ publicKey: shown(key) }, 'an old key of the log has stopped signing, and its private part was removed');
      } catch (error) {
        log.warn({ err: error, publicKey: shown(key) }, 'an old key of the log has stopped signing; its private part cannot be removed');
      }
    }
  }

  /** By the machine's clock: it lasts over restarts. */
  #at(laterMs: number): string {
    return new Date(Number(this.#options.clock.nowMicros() / 1000n) + laterMs).toISOString();
  }
}

const isRetired = ({ retiresAt }: LogKey, now: string): boolean => retiresAt !== undefined && retiresAt <= now;
const shown = ({ publicKey }: LogKey): string => Buffer.from(publicKey).toString('base64');
