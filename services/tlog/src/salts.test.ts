import { createCipheriv, createHmac } from 'node:crypto';
import { expect, it } from 'vitest';
import { Salts } from './salts.ts';

const secret = Buffer.alloc(32, 1);

it('the salt of a place is AES-256 of the place, whatever it is asked with', () => {
  const key = createHmac('sha256', secret).update('agent-audit/acme/c1').digest();
  const salts = new Salts(secret, 'agent-audit/acme/c1');
  for (const place of [0, 1, 255, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
    const block = Buffer.alloc(16);
    block.writeBigUInt64BE(BigInt(place), 8);
    const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
    expect(salts.from(place)).toEqual(cipher.update(block));
  }
  expect(salts.from(2 ** 32 - 2, 4).subarray(32, 48)).toEqual(salts.from(2 ** 32));
});

it('is another for each log and each secret', () => {
  const all = [new Salts(secret, 'a'), new Salts(secret, 'b'), new Salts(Buffer.alloc(32, 2), 'a')].map((salts) => salts.from(3).toString('hex'));
  expect(new Set(all).size).toBe(3);
});

/** The test vector of docs/proof.md. */
it('is what the documentation says', () => {
  expect(new Salts(Buffer.alloc(32, 1), 'agent-audit/acme/c1').from(5).toString('hex')).toBe('336d82554f67faab89dc7141c96b5f77');
});
