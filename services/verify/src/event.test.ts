import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { checkpointText, eventLeaf, formatNote, formatTlogProof, generateSigner, inclusionProof, nodeHash, NoteError, parseSigner, rawPublic, rootOf, saltedDigest, type Hash, type NoteSignature } from '@agent-audit/tlog';
import { describe, expect, it } from 'vitest';
import { verifyEvent } from './event.ts';
import { CannotVerify, type FindingCode } from './finding.ts';
import { readTrust } from './keys.ts';

const origin = 'agent-audit/acme/c1';
const signer = parseSigner(generateSigner(origin));
const raws = Array.from({ length: 5 }, (_, i) => Buffer.from(`{"event_id":"e-${i}",  "big":9223372036854775808}`));
const salt = (i: number): Buffer => Buffer.alloc(16, i);
const leafOf = (i: number): Hash => eventLeaf({ tenant: 'acme', eventId: `e-${i}`, receivedAtMicros: 1000 + i, digest: saltedDigest(salt(i), raws[i] as Buffer) });
const node = (level: number, place: number): Hash => (level === 0 ? leafOf(place) : nodeHash(node(level - 1, 2 * place), node(level - 1, 2 * place + 1)));
const text = checkpointText({ origin, size: 5, root: rootOf(node, 5) });

/** C2SP tlog-cosignature. */
function witness(name: string): { key: string; sign(): NoteSignature } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const bytes = Buffer.concat([Buffer.of(4), rawPublic(publicKey)]);
  const keyId = createHash('sha256').update(`${name}\n`).update(bytes).digest().readUInt32BE();
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(1_772_366_400n);
  return {
    key: `${name}+${keyId.toString(16).padStart(8, '0')}+${bytes.toString('base64')}`,
    sign: () => ({ name, keyId, signature: Buffer.concat([time, sign(null, Buffer.from(`cosignature/v1\ntime 1772366400\n${text}`), privateKey)]) }),
  };
}
const [one, two] = [witness('witness.example/one'), witness('witness.example/two')];

interface Made {
  readonly index?: number;
  readonly extra?: object;
  readonly signatures?: readonly NoteSignature[];
}
function proofOf({ index = 3, extra = {}, signatures = [{ name: origin, keyId: signer.keyId, signature: signer.sign(text) }] }: Made = {}): string {
  return formatTlogProof({
    index, hashes: inclusionProof(node, 3, 5), checkpoint: formatNote({ text, signatures }),
    extra: Buffer.from(JSON.stringify({ tenant: 'acme', event_id: 'e-3', received_at_us: 1003, salt: salt(3).toString('base64'), ...extra })),
  });
}
const own: NoteSignature = { name: origin, keyId: signer.keyId, signature: signer.sign(text) };
const raw = raws[3] as Buffer;
const codes = (file: Buffer, proof: string, keys: readonly string[] = [signer.verifierKey], witnesses = 0): FindingCode[] => verifyEvent(file, proof, readTrust(keys, witnesses)).findings.map(({ finding }) => finding);

describe('an event in the log', () => {
  it('has no findings, by its bytes and in an answer', () => {
    expect(verifyEvent(raw, proofOf(), readTrust([signer.verifierKey]))).toMatchObject({ findings: [], checked: { log_id: 'acme/c1', log_index: 3, event_id: 'e-3', checkpoint_size: 5 } });
    expect(codes(Buffer.from(`{ "event": ${raw.toString()},\n "recorded": {"flags":[]}, "proof": {}}\n`), proofOf())).toEqual([]);
    expect(codes(Buffer.from(`${raw.toString()}\n`), proofOf())).toEqual([]);
  });

  it('is vouched for by witnesses that are trusted', () => {
    const proof = proofOf({ signatures: [own, one.sign(), two.sign()] });
    const keys = [signer.verifierKey, one.key, two.key];
    expect(codes(raw, proof, keys, 2)).toEqual([]);
    expect(codes(raw, proofOf({ signatures: [own, one.sign()] }), keys, 2)).toEqual(['not_signed']);
    expect(codes(raw, proofOf({ signatures: [own, one.sign(), one.sign()] }), keys, 2)).toEqual(['not_signed']);
    expect(codes(raw, proofOf({ signatures: [one.sign(), two.sign()] }), keys, 2)).toEqual(['not_signed']);
    expect(() => readTrust([signer.verifierKey, one.key], 2)).toThrow(NoteError);
  });
});

describe('an event that is not', () => {
  it.for<[string, Buffer, string]>([
    ['other bytes', Buffer.from(raw.toString().replace(',  ', ', ')), proofOf()],
    ['another number', Buffer.from(raw.toString().replace('808}', '807}')), proofOf()],
    ['another tenant', raw, proofOf({ extra: { tenant: 'other' } })],
    ['another id', raw, proofOf({ extra: { event_id: 'e-4' } })],
    ['another time of receipt', raw, proofOf({ extra: { received_at_us: 1004 } })],
    ['another salt', raw, proofOf({ extra: { salt: salt(4).toString('base64') } })],
    ['another place', raw, proofOf({ index: 2 })],
    ['a place behind the end', raw, proofOf({ index: 5 })],
  ])('%s', ([, file, proof]) => {
    expect(codes(file, proof)).toEqual(['not_in_log']);
  });

  it('a checkpoint that nobody trusted has signed', () => {
    expect(codes(raw, proofOf(), [parseSigner(generateSigner(origin)).verifierKey])).toEqual(['not_signed']);
    expect(codes(raw, proofOf().replace('\n5\n', '\n6\n'))).toEqual(['not_signed']);
  });
});

it.for<[string, Buffer, string]>([
  ['no proof', raw, 'hello'],
  ['no extra line', raw, proofOf().replace(/^extra .*\n/m, '')],
  ['a salt that is none', raw, proofOf({ extra: { salt: 'AA==' } })],
  ['no event', Buffer.from('{'), proofOf()],
  ['two events in one answer', Buffer.from(`{"event":${raw.toString()},"event":{},"recorded":{}}`), proofOf()],
])('%s: nobody can tell', ([, file, proof]) => {
  expect(() => codes(file, proof)).toThrow(CannotVerify);
});
