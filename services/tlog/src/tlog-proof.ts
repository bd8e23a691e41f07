import { HASH_BYTES, type Hash } from './merkle.ts';
import { NoteError } from './note.ts';

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';
/** A tree of 2^53 entries is no deeper. */
const HASHES_MAX = 53;

/** C2SP tlog-proof: that an entry is in a log, to be verified without asking anybody. */
export interface TlogProof {
  readonly index: number;
  /** From the leaf's sibling up. */
  readonly hashes: readonly Hash[];
  /** Not covered by any signature. */
  readonly extra: Uint8Array | undefined;
  /** The signed note, as it is. */
  readonly checkpoint: string;
}

export function formatTlogProof({ index, hashes, extra, checkpoint }: TlogProof): string {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return [FIRST_LINE, ...(extra === undefined ? [] : [`extra ${base64(extra)}`]), `index ${index}`, ...hashes.map(base64), '', checkpoint].join('\n');
}

/** Takes a proof apart; nothing of it is verified. @throws NoteError */
export function parseTlogProof(text: string): TlogProof {
  const end = text.indexOf('\n\n');
  if (end === -1) throw new NoteError('the proof ends before its checkpoint');
  const [first, ...lines] = text.slice(0, end).split('\n');
  if (first !== FIRST_LINE) throw new NoteError(`the proof does not begin with ${FIRST_LINE}`);
  const extra = lines[0]?.startsWith('extra ') === true ? bytesOf((lines.shift() as string).slice('extra '.length)) : undefined;
  const [, index] = /^index (0|[1-9]\d{0,15})$/.exec(lines.shift() ?? '') ?? [];
  if (index === undefined || !Number.isSafeInteger(Number(index))) throw new NoteError('the proof does not say which entry it is of');
  if (lines.length > HASHES_MAX) throw new NoteError(`the proof has ${lines.length} hashes`);
  const hashes = lines.map(bytesOf);
  if (hashes.some((hash) => hash.length !== HASH_BYTES)) throw new NoteError('a hash of the proof does not have 32 bytes');
  return { index: Number(index), hashes, extra, checkpoint: text.slice(end + 2) };
}

function bytesOf(encoded: string): Buffer {
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.toString('base64') !== encoded) throw new NoteError('the proof holds a line that is not base64');
  return bytes;
}
