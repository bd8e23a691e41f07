import { parseCheckpoint, parseNote } from '@agent-audit/tlog';
import { CannotVerify, Findings, type Report } from '../finding.ts';
import { trustedCheckpoint, type SignedCheckpoint, type Trust } from '../keys.ts';
import type { TileSource } from './tile-source.ts';
import { checkTree } from './tree.ts';

export interface LogCheck {
  /** Undefined where it is not signed as it must be. */
  readonly checkpoint: SignedCheckpoint | undefined;
  readonly report: Report;
}

export interface LogCheckOptions {
  readonly trust: Trust;
  /** An older checkpoint of the same log, as it was kept. */
  readonly from?: string | undefined;
  /** `<tenant>/<collector>`, where it is known. */
  readonly logId?: string | undefined;
  readonly onEntries?: ((count: number, size: number) => void) | undefined;
}

/**
 * That a log is what its checkpoint says: every level of its tree is made of the leaves, and the root is the one that was
 * signed; and that it begins with what an older checkpoint says.
 *
 * @throws CannotVerify
 */
export async function verifyLog(source: TileSource, { trust, from, logId, onEntries }: LogCheckOptions): Promise<LogCheck> {
  const findings = new Findings();
  const note = await source.checkpoint();
  const notChecked = ['whether the record holds the events that the log is of (--against-store)', ...(from === undefined ? ['whether it begins with what it was before: no older checkpoint was given (--from)'] : [])];
  const checkpoint = trustedCheckpoint(note, trust, findings, logId);
  if (checkpoint === undefined) return { checkpoint, report: findings.report({ log_id: logId ?? '' }, ['the log itself: nobody vouches for its checkpoint']) };
  const { size, root, logId: id } = checkpoint;
  const older = from === undefined ? undefined : olderCheckpoint(from, checkpoint, trust, findings);
  const sizes = [size, ...(older !== undefined && older.size <= size ? [older.size] : [])];
  const { faults, roots } = await checkTree(source, size, sizes, (count) => onEntries?.(count, size));
  for (const { index, detail } of faults) findings.add({ finding: 'log_altered', log_id: id, log_index: index, detail });
  if (roots !== undefined && !isRoot(roots[0], root)) findings.add({ finding: 'log_altered', log_id: id, detail: `the root of its ${size} entries is not the one that was signed` });
  if (older !== undefined && older.size > size) findings.add({ finding: 'log_shrunk', log_id: id, detail: `it has ${size} entries, and had ${older.size}` });
  else if (older !== undefined && roots !== undefined && !isRoot(roots[1], older.root)) findings.add({ finding: 'log_rewritten', log_id: id, detail: `its first ${older.size} entries are not those of the older checkpoint` });
  return {
    checkpoint,
    report: findings.report({ log_id: id, entries: size, ...(older === undefined ? {} : { older_entries: older.size }), witnesses: checkpoint.witnesses.join(', ') }, notChecked),
  };
}

/** An older checkpoint that is of no use is a finding of its own. */
function olderCheckpoint(note: string, { logId, origin }: SignedCheckpoint, trust: Trust, findings: Findings): SignedCheckpoint | undefined {
  // It was checked when it was saved: witnesses may have come later.
  const older = trustedCheckpoint(note, { ...trust, witnesses: 0 }, findings, logId);
  if (older !== undefined && older.origin !== origin) throw new CannotVerify(`the older checkpoint is of the log ${parseCheckpoint(parseNote(note).text).origin}`);
  return older;
}

function isRoot(found: Uint8Array | undefined, signed: Uint8Array): boolean {
  return found !== undefined && Buffer.compare(found, signed) === 0;
}
