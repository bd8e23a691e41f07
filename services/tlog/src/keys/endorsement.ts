import { verify } from 'node:crypto';
import { publicKeyOf } from '../note.ts';
import type { LogKey } from './log-key.ts';

const KEY_BYTES = 32;
/** Each key may have been endorsed by any before it: the work grows with the square. */
const KEYS_MAX = 256;

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/**
 * What an older key signs to vouch for a newer one. The first line has spaces, which the origin of a log never has, so
 * that no checkpoint can be taken for it.
 *
 * @param createdAt of the newer key
 */
export function endorsementText(older: Uint8Array, newer: Uint8Array, createdAt: string): string {
  return `agent-audit log key endorsement v1\nold ${base64(older)}\nnew ${base64(newer)}\ncreated ${createdAt}\n`;
}

/**
 * The keys that the holder of a trusted one has vouched for, by one endorsement after the other. Keys before the trusted one
 * are not among them: a new key says nothing about an old one.
 *
 * @param trusted 32 bytes
 * @param keys oldest first, from anywhere: what is malformed or forged is left out
 * @returns the trusted key, and then those reached
 * @throws RangeError for more than 256 keys
 */
export function verifyEndorsements(trusted: Uint8Array, keys: readonly Pick<LogKey, 'publicKey' | 'createdAt' | 'endorsement'>[]): Uint8Array[] {
  if (keys.length > KEYS_MAX) throw new RangeError(`${keys.length} keys; at most ${KEYS_MAX} are looked at`);
  const reached = [trusted];
  for (const { publicKey, createdAt, endorsement } of keys) {
    if (endorsement === undefined || publicKey.length !== KEY_BYTES || reached.some((known) => Buffer.compare(known, publicKey) === 0)) continue;
    // Mostly it is the latest.
    if (reached.toReversed().some((older) => verify(null, Buffer.from(endorsementText(older, publicKey, createdAt)), publicKeyOf(older), endorsement))) reached.push(publicKey);
  }
  return reached;
}
