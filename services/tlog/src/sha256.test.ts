import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { Sha256 } from './sha256.ts';

const expected = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function digestOf(sha: Sha256, bytes: Uint8Array): string {
  sha.reserve(bytes.length);
  sha.input.set(bytes);
  const to = Buffer.alloc(40, 1);
  sha.digest(bytes.length, to, 5);
  expect([...to.subarray(0, 5), ...to.subarray(37)]).toEqual(Array(8).fill(1));
  return to.toString('hex', 5, 37);
}

it('is SHA-256, of whatever comes, one after the other', () => {
  const sha = new Sha256(64);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
    expect(digestOf(sha, bytes)).toBe(expected(bytes));
  }), { numRuns: 300 });
});

it('is the same in a process that may call OpenSSL', () => {
  const script = `
    import { createHash } from 'node:crypto';
    import { Sha256 } from ${JSON.stringify(new URL('./sha256.ts', import.meta.url).href)};
    const sha = new Sha256(1);
    const to = Buffer.alloc(32);
    let same = 0;
    for (let length = 0; length < 1000; length++) {
      const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * length) & 255));
      sha.reserve(length);
      sha.input.set(bytes);
      sha.digest(length, to, 0);
      if (to.equals(createHash('sha256').update(bytes).digest())) same++;
    }
    console.log(same, process.getBuiltinModule('node:ffi') !== undefined);`;
  const said = execFileSync(process.execPath, ['--experimental-ffi', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], { encoding: 'utf8' });
  expect(said).toBe('1000 true\n');
});
