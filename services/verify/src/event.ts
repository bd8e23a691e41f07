import { memberRange, scanEvent } from '@agent-audit/schemas';
import { eventLeaf, NoteError, parseTlogProof, saltedDigest, SALT_BYTES, verifyInclusion, type TlogProof } from '@agent-audit/tlog';
import { z } from 'zod';
import { CannotVerify, Findings, type Report } from './finding.ts';
import { trustedCheckpoint, type Trust } from './keys.ts';

/** What a proof's `extra` says of the event, beside its bytes. */
const Extra = z.object({ tenant: z.string(), event_id: z.string(), received_at_us: z.int(), salt: z.base64() });

const NESTING_MAX = 4096;

/**
 * That an event is in a log that the keys have signed.
 *
 * @param file the event's bytes, or an answer `{event, recorded}` that holds them
 * @param proof C2SP tlog-proof
 * @throws CannotVerify when either is not what it has to be
 */
export function verifyEvent(file: Buffer, proof: string, trust: Trust): Report {
  const findings = new Findings();
  const { index, hashes, checkpoint: note, extra } = readProof(proof);
  const checkpoint = trustedCheckpoint(note, trust, findings);
  const { tenant, event_id: eventId, received_at_us: receivedAtMicros, salt } = extra;
  if (checkpoint === undefined) return findings.report({ event_id: eventId }, []);
  const { logId, size, root } = checkpoint;
  const leaves = candidates(file).map((raw) => eventLeaf({ tenant, eventId, receivedAtMicros, digest: saltedDigest(Buffer.from(salt, 'base64'), raw) }));
  const isIn = tenant === checkpoint.tenant && leaves.some((leaf) => verifyInclusion(leaf, index, size, hashes, root));
  if (!isIn) findings.add({ finding: 'not_in_log', log_id: logId, log_index: index, event_id: eventId, detail: 'these bytes, or what the proof says beside them, are not what the log holds at this place' });
  return findings.report(
    { log_id: logId, log_index: index, event_id: eventId, received_at_us: receivedAtMicros, checkpoint_size: size, witnesses: checkpoint.witnesses.join(', ') },
    ['whether the record still holds the event, and whether others were recorded beside it'],
  );
}

function readProof(text: string): Omit<TlogProof, 'extra'> & { readonly extra: z.infer<typeof Extra> } {
  try {
    const proof = parseTlogProof(text);
    if (proof.extra === undefined) throw new NoteError('the proof has no extra line, which says what is beside the event\'s bytes in its leaf');
    const extra = Extra.parse(JSON.parse(Buffer.from(proof.extra).toString()));
    if (Buffer.from(extra.salt, 'base64').length !== SALT_BYTES) throw new NoteError(`the salt does not have ${SALT_BYTES} bytes`);
    return { ...proof, extra };
  } catch (error) {
    throw new CannotVerify(`the proof cannot be read: ${error instanceof NoteError ? error.message : 'its extra line is not {tenant, event_id, received_at_us, salt}'}`, { cause: error });
  }
}

/** The bytes that may be those of the event: cut out of an answer, never written anew. An editor may have added a newline behind them. */
function candidates(file: Buffer): Buffer[] {
  const scan = scanEvent(file, 0, file.length, NESTING_MAX);
  // Duplicate keys too: another reader might see another event than the one that is checked.
  if (!scan.ok) throw new CannotVerify(`the event cannot be read: ${scan.message}`);
  const event = memberRange(file, { start: 0, end: file.length }, 'event');
  if (event !== undefined && memberRange(file, { start: 0, end: file.length }, 'recorded') !== undefined) return [file.subarray(event.start, event.end)];
  return [file, Buffer.from(file.toString('latin1').trim(), 'latin1')];
}
