import { NoteError, openCheckpoint, parseCheckpoint, parseNote, parseVerifier, verifierKey, type Checkpoint, type NoteVerifier } from '@agent-audit/tlog';
import type { Findings } from './finding.ts';

/** The keys that are trusted, and how many witnesses must have signed. */
export interface Trust {
  /** Of one log each, or of witnesses. */
  readonly verifiers: readonly NoteVerifier[];
  /** 32 bytes each: of collectors, for whichever of their logs. */
  readonly publicKeys: readonly Uint8Array[];
  readonly witnesses: number;
}

const PUBLIC_KEY = /^[A-Za-z\d+/]{43}=$/;

/**
 * @param texts one key a line: `<name>+<key id>+<key>` of a log or a witness, or base64 of the 32 bytes of an Ed25519 key,
 * which then counts for every log; empty lines and those that begin with # are passed over
 * @throws NoteError
 */
export function readTrust(texts: readonly string[], witnesses = 0): Trust {
  const lines = texts.flatMap((text) => text.split('\n')).map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  if (lines.length === 0) throw new NoteError('no key was given');
  const trust = {
    verifiers: lines.filter((line) => !PUBLIC_KEY.test(line)).map(parseVerifier),
    publicKeys: lines.filter((line) => PUBLIC_KEY.test(line)).map((line) => Buffer.from(line, 'base64')),
    witnesses,
  };
  const known = new Set(trust.verifiers.filter(({ cosigns }) => cosigns).map(({ name }) => name)).size;
  if (known < witnesses) throw new NoteError(`${witnesses} witnesses are asked for, and the keys of ${known} were given`);
  return trust;
}

export interface SignedCheckpoint extends Checkpoint {
  /** `<tenant>/<collector>`. */
  readonly logId: string;
  readonly tenant: string;
  readonly witnesses: readonly string[];
  readonly note: string;
}

/**
 * What a checkpoint says, when it is signed by a trusted key of its log and by enough witnesses.
 *
 * @param logId which log it has to be of, where that is known
 * @returns undefined, with a finding, when it is not
 */
export function trustedCheckpoint(note: string, trust: Trust, findings: Findings, logId?: string): SignedCheckpoint | undefined {
  try {
    return open(note, trust, logId);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    findings.add({ finding: 'not_signed', ...(logId === undefined ? {} : { log_id: logId }), detail: error.message });
    return undefined;
  }
}

/** The trusted keys as they sign under the name of a log, and the witnesses. */
export function verifiersOf(trust: Trust, origin: string): readonly NoteVerifier[] {
  return [...trust.verifiers, ...trust.publicKeys.map((key) => parseVerifier(verifierKey(origin, key)))];
}

function open(note: string, trust: Trust, logId: string | undefined): SignedCheckpoint {
  const { origin } = parseCheckpoint(parseNote(note).text);
  const [, id, tenant] = /^[^/].*\/(([^/]+)\/[^/]+)$/.exec(origin) ?? [];
  if (tenant === undefined || id === undefined) throw new NoteError(`${origin} is not the name of a log of events: <prefix>/<tenant>/<collector>`);
  if (logId !== undefined && id !== logId) throw new NoteError(`the checkpoint is of the log ${id}, not of ${logId}`);
  const verifiers = verifiersOf(trust, origin);
  const { signedBy, ...checkpoint } = openCheckpoint(note, origin, verifiers);
  const names = new Set(verifiers.filter(({ cosigns }) => cosigns).map(({ name }) => name));
  const witnesses = [...new Set(signedBy)].filter((name) => name !== origin && names.has(name));
  if (witnesses.length < trust.witnesses) throw new NoteError(`${trust.witnesses} witnesses are asked for, and ${witnesses.length} of those that are trusted have signed`);
  return { ...checkpoint, logId: id, tenant, witnesses, note };
}
