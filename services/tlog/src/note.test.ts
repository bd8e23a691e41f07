import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, parseCheckpoint, signCheckpoint } from './checkpoint.ts';
import { leafHash } from './merkle.ts';
import { generateSigner, NoteError, openNote, parseNote, parseSigner, parseVerifier, signNote } from './note.ts';
import { formatTlogProof, parseTlogProof } from './tlog-proof.ts';

/** Of the documentation of golang.org/x/mod/sumdb/note. */
const GO = {
  key: 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
  privateKey: 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz',
  note: 'If you think cryptography is the answer to your problem,\nthen you don\'t know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n',
};
const text = 'log.example/a\n7\n4YIc2U2qYTqx7YXPzcPDFrM9dFvS9vhkfSjAKsIZQX0=\n';
const signer = parseSigner(generateSigner('log.example/a'));
const other = parseSigner(generateSigner('log.example/a'));
const verifier = parseVerifier(signer.verifierKey);

describe('a note', () => {
  it('of Go\'s is verified, and signed alike: Ed25519 is deterministic', () => {
    const { text: said, signedBy } = openNote(GO.note, [parseVerifier(GO.key)]);
    expect(said).toBe(GO.note.slice(0, said.length));
    expect(signedBy.map(({ name }) => name)).toEqual(['PeterNeumann']);
    expect(signNote(said, [parseSigner(GO.privateKey)])).toBe(GO.note);
    expect(parseSigner(GO.privateKey).verifierKey).toBe(GO.key);
  });

  it('may be signed by several, of whom a verifier knows some', () => {
    const note = signNote(text, [other, signer]);
    expect(openNote(note, [verifier]).signedBy).toEqual([verifier]);
    expect(openNote(note, [verifier, parseVerifier(other.verifierKey)]).signedBy).toHaveLength(2);
  });

  it('is nothing without a signature of somebody who is trusted', () => {
    expect(() => openNote(signNote(text, [other]), [verifier])).toThrow(`its signatures are of log.example/a+${other.keyId.toString(16).padStart(8, '0')}`);
  });

  it('is refused as a whole when a known signature is wrong', () => {
    expect(() => openNote(signNote(text, [signer, other]).replace('\n7\n', '\n8\n'), [verifier])).toThrow('the signature of log.example/a is wrong');
  });

  it.each([
    ['nothing', ''], ['no signature', text], ['no empty line', text + signNote(text, [signer]).slice(text.length + 1)], ['a hyphen for a dash', signNote(text, [signer]).replace('—', '-')],
    ['a carriage return', signNote(text, [signer]).replace('\n7', '\r\n7')], ['no last newline', signNote(text, [signer]).slice(0, -1)],
    ['base64 with other bits at the end', GO.note.replace('nAM=', 'nAN=')],
  ])('is not: %s', (_, note) => {
    expect(() => parseNote(note)).toThrow(NoteError);
  });

  it('may hold empty lines', () => {
    expect(openNote(signNote('a\n\nb\n', [signer]), [verifier]).text).toBe('a\n\nb\n');
  });

  it('is never a text without a last newline, or with control characters', () => {
    for (const bad of ['a', 'a\tb\n', '\ud800\n']) expect(() => signNote(bad, [signer])).toThrow(NoteError);
  });
});

describe('a key', () => {
  it.each(['', 'a b', 'a+b', 'a\nb', 'a\u00a0b'])('is not named %j', (name) => {
    expect(() => generateSigner(name)).toThrow(NoteError);
  });

  it('that was altered is refused, and a secret is never in the message', () => {
    const secret = generateSigner('log.example/b');
    const altered = `${secret.slice(0, -6)}AAAAA=`;
    expect(() => parseSigner(altered)).toThrow(/was altered|is no Ed25519 key/);
    for (const bad of [altered, secret.slice(1), secret.slice(0, -10)]) {
      let message = '';
      try {
        parseSigner(bad);
      } catch (error) {
        message = (error as Error).message;
      }
      expect(message).not.toBe('');
      expect(message).not.toContain(secret.slice(-30, -12));
    }
    expect(() => parseVerifier(signer.verifierKey.replace('log.example/a', 'log.example/c'))).toThrow('was altered');
  });

  it('of a witness verifies a cosignature with its time', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url');
    // The id of a key of this name and type: told by the error for a wrong one.
    const wrong = `witness.example+00000000+${Buffer.concat([Buffer.of(4), raw]).toString('base64')}`;
    const id = /its id is (\w{8})/.exec((() => {
      try {
        parseVerifier(wrong);
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    })())?.[1] as string;
    const witness = parseVerifier(wrong.replace('00000000', id));
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(1_679_315_147n);
    const signature = Buffer.concat([time, sign(null, Buffer.from(`cosignature/v1\ntime 1679315147\n${text}`), privateKey)]);
    const note = `${signNote(text, [signer])}— witness.example ${Buffer.concat([Buffer.from(id, 'hex'), signature]).toString('base64')}\n`;
    expect(openCheckpoint(note, 'log.example/a', [verifier, witness]).signedBy).toEqual(['log.example/a', 'witness.example']);
    expect(() => openCheckpoint(note, 'log.example/a', [witness])).toThrow('itself has not signed');
    time[7] = 0;
    expect(witness.verify(text, Buffer.concat([time, signature.subarray(8)]))).toBe(false);
  });
});

describe('a checkpoint', () => {
  const checkpoint = { origin: 'log.example/a', size: 7, root: leafHash(Buffer.from('root')) };

  it('comes back as it was signed', () => {
    expect(openCheckpoint(signCheckpoint(checkpoint, [signer]), 'log.example/a', [verifier])).toEqual({ ...checkpoint, signedBy: ['log.example/a'] });
  });

  it('of another log is refused', () => {
    expect(() => openCheckpoint(signCheckpoint({ ...checkpoint, origin: 'log.example/b' }, [signer]), 'log.example/a', [verifier])).toThrow('is of the log log.example/b');
  });

  it('may have lines that are not read', () => {
    expect(parseCheckpoint(`${text}more\n`)).toMatchObject({ size: 7 });
  });

  it.each(['a\n', 'a\n07\n4YIc2U2qYTqx7YXPzcPDFrM9dFvS9vhkfSjAKsIZQX0=\n', 'a\n-1\n4YIc2U2qYTqx7YXPzcPDFrM9dFvS9vhkfSjAKsIZQX0=\n', 'a\n9007199254740993\n4YIc2U2qYTqx7YXPzcPDFrM9dFvS9vhkfSjAKsIZQX0=\n', 'a\n7\nAAAA\n', '\n7\n4YIc2U2qYTqx7YXPzcPDFrM9dFvS9vhkfSjAKsIZQX0=\n', 'a\n7\n4YIc2U2qYTqx7YXPzcPDFrM9dFvS9vhkfSjAKsIZQX0=\n\nx\n'])('is not: %j', (bad) => {
    expect(() => parseCheckpoint(bad)).toThrow(NoteError);
  });
});

describe('a proof', () => {
  const proof = { index: 3, hashes: [leafHash(Buffer.from('a')), leafHash(Buffer.from('b'))], checkpoint: signNote(text, [signer]) };

  it.each([undefined, Buffer.from('extra')])('comes back as it was written (extra: %s)', (extra) => {
    const parsed = parseTlogProof(formatTlogProof({ ...proof, extra }));
    expect(parsed).toEqual({ ...proof, extra });
  });

  it('of the only entry has no hashes', () => {
    expect(parseTlogProof(formatTlogProof({ ...proof, index: 0, hashes: [], extra: undefined })).hashes).toEqual([]);
  });

  it.each<[string, (good: string) => string]>([
    ['another version', (good) => good.replace('@v1', '@v2')], ['no index', (good) => good.replace('index 3\n', '')], ['a padded index', (good) => good.replace('index 3', 'index 03')],
    ['a short hash', (good) => good.replace(/\n[A-Za-z\d+/]{43}=\n/, '\nAAAA\n')], ['no checkpoint', (good) => good.slice(0, 60)], ['too many hashes', (good) => good.replace(/(index 3\n)/, `$1${`${'A'.repeat(43)}=\n`.repeat(60)}`)],
  ])('is refused: %s', (_, spoil) => {
    expect(() => parseTlogProof(spoil(formatTlogProof({ ...proof, extra: undefined })))).toThrow(NoteError);
  });
});
