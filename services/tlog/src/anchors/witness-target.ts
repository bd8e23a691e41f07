import { formatSignature, NoteError, parseNote, type Note, type NoteVerifier } from '../note.ts';
import { AnchorError, type AnchorTarget, type Offered } from './anchor.ts';
import { readText, refusal, send } from './http.ts';

const ANSWER_BYTES_MAX = 65_536;
/** C2SP tlog-witness: the witness says with 409 how much of the log it has seen. */
const SIZE_TYPE = 'text/x.tlog.size';

/** A witness (C2SP tlog-witness): it cosigns a checkpoint once it has verified that the log only grew. */
export function witnessTarget(witness: NoteVerifier, prefix: URL, timeoutMs: number): AnchorTarget {
  const url = new URL(`${prefix.href.replace(/\/+$/, '')}/add-checkpoint`);
  const ask = async (offered: Offered, fromSize: number, signal: AbortSignal): Promise<Response> => {
    // With nothing before it there is nothing to be consistent with.
    const proof = fromSize === 0 ? [] : await offered.consistency(fromSize);
    const body = [`old ${fromSize}`, ...proof.map((hash) => Buffer.from(hash).toString('base64')), '', offered.checkpoint].join('\n');
    return send(url, { method: 'POST', headers: { 'content-type': 'text/plain; charset=utf-8' }, body }, signal, timeoutMs);
  };
  return {
    name: `witness:${witness.name}+${witness.keyId.toString(16).padStart(8, '0')}`,
    concurrency: 8,
    anchor: async (offered, fromSize, signal) => {
      let response = await ask(offered, fromSize, signal);
      if (response.status === 409) {
        const seen = await seenSize(response);
        if (seen > offered.size) throw new AnchorError('anchor_fork', `the witness ${witness.name} has seen ${seen} entries of ${offered.origin}, which has ${offered.size} here: it was set back, or somebody else signs it`);
        // Of the same size, what differs can only be the root.
        if (seen === fromSize) throw new AnchorError('anchor_fork', `the witness ${witness.name} has seen another tree of ${seen} entries of ${offered.origin}`);
        response = await ask(offered, seen, signal);
      }
      if (response.status !== 200) throw await refusal(url, response, timeoutMs);
      return cosignatures(await readText(url, response, ANSWER_BYTES_MAX, timeoutMs), offered, witness);
    },
  };

  async function seenSize(response: Response): Promise<number> {
    const type = response.headers.get('content-type')?.split(';')[0]?.trim();
    if (type !== SIZE_TYPE) throw await refusal(url, response, timeoutMs);
    const [, digits] = /^(0|[1-9]\d{0,15})\n$/.exec(await readText(url, response, 100, timeoutMs)) ?? [];
    if (digits === undefined || !Number.isSafeInteger(Number(digits))) throw new AnchorError('anchor_answer', `the witness ${witness.name} has answered 409 without a size`);
    return Number(digits);
  }
}

/** @param answer signature lines @returns those of the witness, verified @throws AnchorError where there is none, or one is wrong */
function cosignatures(answer: string, offered: Offered, witness: NoteVerifier): string[] {
  let note: Note;
  try {
    note = parseNote(`${parseNote(offered.checkpoint).text}\n${answer}`);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new AnchorError('anchor_answer', `the witness ${witness.name} has not answered with signatures: ${error.message}`, { cause: error });
  }
  // Signatures of other keys are not to be believed, nor to be complained of.
  const own = note.signatures.filter(({ name, keyId }) => name === witness.name && keyId === witness.keyId);
  if (own.length === 0) throw new AnchorError('anchor_answer', `the answer of the witness ${witness.name} has no signature by its key`);
  if (!own.every(({ signature }) => witness.verify(note.text, signature))) throw new AnchorError('anchor_answer', `the cosignature of the witness ${witness.name} is wrong`);
  return own.map(formatSignature);
}
