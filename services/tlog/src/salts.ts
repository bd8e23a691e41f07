import { createCipheriv, createHmac } from 'node:crypto';

export const SALT_BYTES = 16;
export const SALT_KEY_BYTES = 32;

/**
 * The salts of a log's events, from a secret of its collector: kept nowhere, so they take no space. Nobody without the
 * secret can tell one from random bytes, whatever others he was given.
 *
 *     key = HMAC-SHA-256(secret, origin)        salt of place i = AES-256(key, i as 128 bits, big-endian)
 */
export class Salts {
  readonly #key: Buffer;

  /** @param secret of `SALT_KEY_BYTES` @param origin of the log */
  constructor(secret: Uint8Array, origin: string) {
    this.#key = createHmac('sha256', secret).update(origin).digest();
  }

  /** The salts of `count` places from `first` on, `SALT_BYTES` each: AES in counter mode over zeros (NIST SP 800-38A). */
  from(first: number, count = 1): Buffer {
    const counter = Buffer.alloc(SALT_BYTES);
    counter.writeBigUInt64BE(BigInt(first), 8);
    return createCipheriv('aes-256-ctr', this.#key, counter).update(Buffer.alloc(count * SALT_BYTES));
  }
}
