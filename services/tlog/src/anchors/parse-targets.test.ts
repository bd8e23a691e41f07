import { createHash, generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { generateSigner, parseSigner, rawPublic } from '../note.ts';
import { parseAnchorTargets } from './parse-targets.ts';
import { FastClock } from './testing.ts';

const clock = new FastClock();
const s3 = { region: 'eu-west-1', accessKeyId: 'id', secretAccessKey: 'secret' };
const parse = (texts: string[], settings = {}): string[] => parseAnchorTargets(texts, { clock, s3, ...settings }).map(({ name }) => name);

/** C2SP tlog-cosignature: a verifier key of type 4. */
function witnessKey(name: string): string {
  const key = Buffer.concat([Buffer.of(4), rawPublic(generateKeyPairSync('ed25519').publicKey)]);
  return `${name}+${createHash('sha256').update(`${name}\n`).update(key).digest('hex').slice(0, 8)}+${key.toString('base64')}`;
}
const witness = witnessKey('witness.example/w1');

it('reads each kind, and names it without what may be a secret', () => {
  const names = parse(['file:/a/b', 'https://hooks.example/T0/secret', 's3://bucket/a/b/', 's3://bucket', `witness:${witness}@https://witness.example/x`, 'http://127.0.0.1:1/', 'http://[::1]/', 'http://localhost/', 'insecure+http://10.0.0.1/', `witness:${witnessKey('w2')}@insecure+http://10.0.0.1`]);
  expect(names).toEqual([
    'file:/a/b', expect.stringMatching(/^https:\/\/hooks\.example\/…#[\da-f]{8}$/), 's3://bucket/a/b at s3.eu-west-1.amazonaws.com', 's3://bucket/ at s3.eu-west-1.amazonaws.com', `witness:${witness.split('+').slice(0, 2).join('+')}`,
    ...['http://127.0.0.1:1', 'http://[::1]', 'http://localhost', 'http://10.0.0.1'].map((origin) => expect.stringContaining(origin) as string), expect.stringMatching(/^witness:w2\+/),
  ]);
  expect(parse(['s3://bucket'], { s3: { ...s3, endpoint: 'http://127.0.0.1:9000' } })).toEqual(['s3://bucket/ at 127.0.0.1:9000']);
});

it.each([
  ['http://hooks.example/secret', 'unencrypted'], ['http://127.0.0.1.example/secret', 'unencrypted'], ['https://user:secret@host/', 'must not hold a user'], ['https://', 'no URL'], ['ftp://secret', 'is none of'], ['file:secret', 'is none of'],
  ['s3:///secret', 's3://<bucket>/<prefix>'], ['s3://a bucket/secret', 's3://<bucket>/<prefix>'], [`witness:${witness}@http://10.0.0.1/secret`, 'unencrypted'], [`witness:${witness}`, 'is none of'],
  [`witness:${parseSigner(generateSigner('a')).verifierKey}@https://secret/`, 'key of a log'], [`witness:${witness.replace(/\+[\da-f]{8}\+/, '+00000000+')}@https://secret/`, 'was altered'],
])('refuses %s', (text, message) => {
  expect(() => parse(['file:/a', text])).toThrow(message);
  expect(() => parse(['file:/a', text])).toThrow(expect.objectContaining({ code: 'anchor_setting', message: expect.stringMatching(/^anchor 2/) as string }));
  expect(() => parse(['file:/a', text])).not.toThrow(/secret(?!>)/);
});

it('refuses what is incomplete or twice', () => {
  expect(() => parse(['s3://bucket'], { s3: { region: 'eu-west-1' } })).toThrow('needs an access key');
  expect(() => parse(['s3://bucket'], { s3: { ...s3, endpoint: 'http://minio:9000' } })).toThrow('the S3 endpoint would be reached unencrypted');
  expect(() => parse(['https://a/', 'file:/a', 'https://a'])).toThrow('anchor 3 is the same place as anchor 1');
});
