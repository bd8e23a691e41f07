import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto';

/** Signature type of plain Ed25519 (C2SP signed-note). */
const ED25519 = 1;
/** Of Ed25519 with a time, as witnesses make them (C2SP tlog-cosignature). */
const COSIGNATURE = 4;
const KEY_ID_BYTES = 4;
const SEED_BYTES = 32;
/** RFC 8410: what stands before the 32 bytes of a seed. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
const SIGNATURES_MAX = 64;

/** A note, a key or a signature is not what it has to be. */
export class NoteError extends Error {
  override readonly name = 'NoteError';
}

export interface NoteSignature {
  readonly name: string;
  /** Four bytes that tell keys of one name apart, as a number. */
  readonly keyId: number;
  readonly signature: Uint8Array;
}

export interface Note {
  /** With its last newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

export interface NoteVerifier {
  readonly name: string;
  readonly keyId: number;
  /** Whether it is a witness: its signatures hold a time (C2SP tlog-cosignature). */
  readonly cosigns: boolean;
  verify(text: string, signature: Uint8Array): boolean;
}

export interface NoteSigner {
  readonly name: string;
  readonly keyId: number;
  /** `<name>+<key id>+<key>`: what a verifier needs. */
  readonly verifierKey: string;
  sign(text: string): Buffer;
}

function checkName(name: string): void {
  if (name === '' || /[\s+\p{Z}\p{C}]/u.test(name)) throw new NoteError(`${JSON.stringify(name)} is not the name of a key: it must not be empty, nor hold spaces, "+" or control characters`);
}

function keyIdOf(name: string, type: number, publicKey: Uint8Array): number {
  return createHash('sha256').update(`${name}\n`).update(Buffer.of(type)).update(publicKey).digest().readUInt32BE();
}

/** The 32 bytes of an Ed25519 public key. */
export const rawPublic = (key: KeyObject): Buffer => Buffer.from(key.export({ format: 'jwk' }).x as string, 'base64url');
const hex = (keyId: number): string => keyId.toString(16).padStart(8, '0');

/** A new key, as `parseSigner` takes it. @throws NoteError for a name that no key may have */
export function generateSigner(name: string): string {
  checkName(name);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d as string, 'base64url');
  return `PRIVATE+KEY+${name}+${hex(keyIdOf(name, ED25519, rawPublic(publicKey)))}+${Buffer.concat([Buffer.of(ED25519), seed]).toString('base64')}`;
}

/** An Ed25519 public key from its 32 bytes. */
export function publicKeyOf(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(raw).toString('base64url') }, format: 'jwk' });
}

/** The id of an Ed25519 key in notes. It depends on the name that the key has there. */
export function noteKeyId(name: string, publicKey: Uint8Array): number {
  return keyIdOf(name, ED25519, publicKey);
}

/** C2SP signed-note: `<name>+<key id>+<base64 of 0x01 and the key>`. @throws NoteError for a name that no key may have */
export function verifierKey(name: string, publicKey: Uint8Array): string {
  checkName(name);
  return `${name}+${hex(noteKeyId(name, publicKey))}+${Buffer.concat([Buffer.of(ED25519), publicKey]).toString('base64')}`;
}

/** @param text `PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 and the seed>`, as golang.org/x/mod/sumdb/note has it @throws NoteError */
export function parseSigner(text: string): NoteSigner {
  const { name, key } = parsePrivateKey(text);
  const publicKey = rawPublic(createPublicKey(key));
  return { name, keyId: noteKeyId(name, publicKey), verifierKey: verifierKey(name, publicKey), sign: (note) => sign(null, Buffer.from(note), key) };
}

/** The key itself, which may sign under other names too. @param text as of `parseSigner` @throws NoteError */
export function parsePrivateKey(text: string): { readonly name: string; readonly key: KeyObject } {
  const [, name, id, encoded] = /^PRIVATE\+KEY\+([^+]*)\+([\da-f]{8})\+([A-Za-z\d+/]+=*)\s*$/.exec(text) ?? [];
  // Never the text itself: it is a secret.
  if (name === undefined || id === undefined || encoded === undefined) throw new NoteError('the signing key does not have the form PRIVATE+KEY+<name>+<key id>+<key>');
  checkName(name);
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes[0] !== ED25519 || bytes.length !== 1 + SEED_BYTES) throw new NoteError(`the signing key ${name} is no Ed25519 key`);
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, bytes.subarray(1)]), format: 'der', type: 'pkcs8' });
  const keyId = noteKeyId(name, rawPublic(createPublicKey(key)));
  if (hex(keyId) !== id) throw new NoteError(`the signing key ${name} was altered: its id is ${hex(keyId)}, not ${id}`);
  return { name, key };
}

/** @param text `<name>+<key id>+<base64 of the type and the public key>`, of a log (type 1) or of a witness (type 4) @throws NoteError */
export function parseVerifier(text: string): NoteVerifier {
  const [, name, id, encoded] = /^([^+]*)\+([\da-f]{8})\+([A-Za-z\d+/]+=*)\s*$/.exec(text) ?? [];
  if (name === undefined || id === undefined || encoded === undefined) throw new NoteError(`${JSON.stringify(text)} does not have the form <name>+<key id>+<key>`);
  checkName(name);
  const bytes = Buffer.from(encoded, 'base64');
  const [type] = bytes;
  if ((type !== ED25519 && type !== COSIGNATURE) || bytes.length !== 1 + SEED_BYTES) throw new NoteError(`the key ${name} is no Ed25519 key`);
  const publicKey = bytes.subarray(1);
  const keyId = keyIdOf(name, type, publicKey);
  if (hex(keyId) !== id) throw new NoteError(`the key ${name} was altered: its id is ${hex(keyId)}, not ${id}`);
  const key = publicKeyOf(publicKey);
  return { name, keyId, cosigns: type === COSIGNATURE, verify: type === ED25519 ? (note, signature) => verify(null, Buffer.from(note), key, signature) : (note, signature) => verifyCosignature(note, signature, key) };
}

/** The time stands before the signature, and is signed with the note. */
function verifyCosignature(text: string, signature: Uint8Array, key: KeyObject): boolean {
  const bytes = Buffer.from(signature);
  if (bytes.length !== 8 + 64) return false;
  return verify(null, Buffer.from(`cosignature/v1\ntime ${bytes.readBigUInt64BE()}\n${text}`), key, bytes.subarray(8));
}

function checkText(text: string): void {
  // oxlint-disable-next-line no-control-regex -- they are what must not be in it
  if (!text.endsWith('\n') || /[\0-\t\v-\x1f]/.test(text) || !text.isWellFormed()) throw new NoteError('the text of a note ends with a newline and has no other control characters');
}

/** The note, signed by each. @throws NoteError for a text that no note may have */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  return formatNote({ text, signatures: signers.map((signer) => ({ name: signer.name, keyId: signer.keyId, signature: signer.sign(text) })) });
}

/** Puts a note together. @throws NoteError for a text or a name that no note may have */
export function formatNote({ text, signatures }: Note): string {
  checkText(text);
  return `${text}\n${signatures.map(formatSignature).join('')}`;
}

/** One line, with its newline. @throws NoteError */
export function formatSignature({ name, keyId, signature }: NoteSignature): string {
  checkName(name);
  const id = Buffer.alloc(KEY_ID_BYTES);
  id.writeUInt32BE(keyId);
  return `— ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
}

/** Takes a note apart; nothing of it is verified. @throws NoteError */
export function parseNote(note: string): Note {
  const end = note.lastIndexOf('\n\n');
  if (end === -1 || !note.endsWith('\n')) throw new NoteError('a note is a text, an empty line, and signatures, each on a line');
  const text = note.slice(0, end + 1);
  checkText(text);
  const lines = note.slice(end + 2, -1).split('\n');
  if (lines.length > SIGNATURES_MAX) throw new NoteError(`a note with ${lines.length} signatures`);
  const signatures = lines.map((line): NoteSignature => {
    const [, name, encoded] = /^— (\S+) ([A-Za-z\d+/]+=*)$/.exec(line) ?? [];
    if (name === undefined || encoded === undefined) throw new NoteError(`${JSON.stringify(line.slice(0, 200))} is not a signature of a note`);
    checkName(name);
    const bytes = Buffer.from(encoded, 'base64');
    if (bytes.length <= KEY_ID_BYTES || bytes.toString('base64') !== encoded) throw new NoteError(`the signature of ${name} is not base64 of a key id and a signature`);
    return { name, keyId: bytes.readUInt32BE(), signature: bytes.subarray(KEY_ID_BYTES) };
  });
  return { text, signatures };
}

/**
 * Verifies a note. Signatures of unknown keys are ignored.
 *
 * @returns its text, and who of the verifiers has signed it
 * @throws NoteError when none has, or a signature of one of them is wrong
 */
export function openNote(note: string, verifiers: readonly NoteVerifier[]): { text: string; signedBy: readonly NoteVerifier[] } {
  const { text, signatures } = parseNote(note);
  const signedBy: NoteVerifier[] = [];
  for (const { name, keyId, signature } of signatures) {
    const verifier = verifiers.find((known) => known.name === name && known.keyId === keyId);
    if (verifier === undefined) continue;
    if (!verifier.verify(text, signature)) throw new NoteError(`the signature of ${name} is wrong`);
    if (!signedBy.includes(verifier)) signedBy.push(verifier);
  }
  if (signedBy.length === 0) throw new NoteError(`nobody who is trusted has signed the note; its signatures are of ${signatures.map(({ name, keyId }) => `${name}+${hex(keyId)}`).join(', ')}`);
  return { text, signedBy };
}
