import { HASH_BYTES, type Hash } from './merkle.ts';
import { NoteError, openNote, signNote, type NoteSigner, type NoteVerifier } from './note.ts';

/** C2SP tlog-checkpoint: what a log was at one moment. */
export interface Checkpoint {
  /** Which log. */
  readonly origin: string;
  /** Its entries. */
  readonly size: number;
  readonly root: Hash;
}

/** What is signed. */
export function checkpointText({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`;
}

/** A checkpoint, signed. @param signers name themselves as the origin */
export function signCheckpoint(checkpoint: Checkpoint, signers: readonly NoteSigner[]): string {
  return signNote(checkpointText(checkpoint), signers);
}

/**
 * @param verifiers keys of the log, of which one must have signed, and of witnesses
 * @returns the checkpoint, and the names of those who signed it
 * @throws NoteError when it is not a checkpoint of that log, or not signed by it
 */
export function openCheckpoint(note: string, origin: string, verifiers: readonly NoteVerifier[]): Checkpoint & { readonly signedBy: readonly string[] } {
  const { text, signedBy } = openNote(note, verifiers);
  const checkpoint = parseCheckpoint(text);
  if (checkpoint.origin !== origin) throw new NoteError(`the checkpoint is of the log ${checkpoint.origin}, not of ${origin}`);
  if (!signedBy.some(({ name }) => name === origin)) throw new NoteError(`the log ${origin} itself has not signed the checkpoint`);
  return { ...checkpoint, signedBy: signedBy.map(({ name }) => name) };
}

/** @param text of a note that was verified @throws NoteError */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, encoded, ...rest] = text.split('\n');
  const root = Buffer.from(encoded ?? '', 'base64');
  // The last newline leaves an empty string; extension lines before it are not ours to read.
  if (origin === undefined || origin === '' || size === undefined || !/^(?:0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size)) || root.length !== HASH_BYTES || root.toString('base64') !== encoded || rest.pop() !== '' || rest.includes('')) {
    throw new NoteError('the note is not a checkpoint: origin, size and root, each on a line');
  }
  return { origin, size: Number(size), root };
}
