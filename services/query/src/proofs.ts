import type { StoredEvent } from '@agent-audit/queries';
import type { ProofState } from '@agent-audit/schemas';
import {
  eventLeaf, inclusionProof, LogBroken, NoteError, nodesIn, openCheckpoint, parseVerifier, saltedDigest, verifierKey, verifyInclusion,
  type Checkpoint, type EventLogs, type Hash, type LogKeys, type LogView,
} from '@agent-audit/tlog';

/** The logs of this data folder, and the keys that sign them. */
export interface Proofs {
  readonly logs: EventLogs;
  readonly keys: LogKeys;
  /** Of witnesses, for the checkpoint of that size. */
  readonly cosignatures: (origin: string, size: number) => readonly string[];
}

/** Of a recorded event, what its leaf is made of; of an erased one, what is left of it. */
export type Leaf = Pick<StoredEvent, 'tenant' | 'collector_id' | 'log_index' | 'event_id' | 'received_at_us'> & ({ readonly raw: string } | { readonly digest_hex: string });


/** What a log says of an event, with the proof where it has one. */
export type Judgement = Proven | NotProven;

export interface Proven {
  readonly state: 'verified';
  readonly view: LogView & { readonly note: string };
  readonly checkpoint: Checkpoint;
  readonly hashes: readonly Hash[];
}

export interface NotProven {
  readonly state: Exclude<ProofState['state'], 'verified'>;
  readonly detail: string;
  readonly checkpoint?: Checkpoint;
}

/** Checks the stored bytes of an event against its leaf, and that against the checkpoint's signature. */
export function judge(proofs: Proofs | undefined, row: Leaf): Judgement {
  let view: LogView | undefined;
  try {
    view = proofs?.logs.view(row.tenant, row.collector_id);
  } catch (error) {
    if (error instanceof LogBroken) return { state: 'broken', detail: error.message };
    throw error;
  }
  if (proofs === undefined || view === undefined) return { state: 'not covered', detail: proofs === undefined ? 'proofs are switched off' : `the log is not here; ask the collector ${row.collector_id}` };
  if (view.broken !== undefined) return { state: 'broken', detail: view.broken };
  const { note, checkpoint } = view;
  if (note === undefined || checkpoint === undefined || row.log_index >= checkpoint.size) return { state: 'pending', detail: 'the next checkpoint covers it', ...(checkpoint === undefined ? {} : { checkpoint }) };
  try {
    openCheckpoint(note, view.origin, proofs.keys.list().map(({ publicKey }) => parseVerifier(verifierKey(view.origin, publicKey))));
    const digest = 'raw' in row ? saltedDigest(view.salts.from(row.log_index), Buffer.from(row.raw)) : Buffer.from(row.digest_hex, 'hex');
    const leaf = eventLeaf({ tenant: row.tenant, eventId: row.event_id, receivedAtMicros: Number(row.received_at_us), digest });
    const hashes = inclusionProof(nodesIn(view.folder, checkpoint.size), row.log_index, checkpoint.size);
    if (verifyInclusion(leaf, row.log_index, checkpoint.size, hashes, checkpoint.root)) return { state: 'verified', view: { ...view, note: note + proofs.cosignatures(view.origin, checkpoint.size).join('') }, checkpoint, hashes };
  } catch (error) {
    if (error instanceof NoteError) return { state: 'broken', detail: error.message, checkpoint };
    throw error;
  }
  return { state: 'broken', detail: 'what is stored is not what was put into the log: the event, its time of receipt or the log was changed. `agent-audit verify` says which', checkpoint };
}

export function proofState(proofs: Proofs | undefined, row: StoredEvent): ProofState {
  const judged = judge(proofs, row);
  const size = judged.checkpoint === undefined ? {} : { checkpoint_size: judged.checkpoint.size };
  if (judged.state === 'verified') return { state: 'verified', detail: 'its stored bytes are those of its leaf, under a signed checkpoint', ...size };
  return { state: judged.state, detail: judged.detail, ...size };
}
