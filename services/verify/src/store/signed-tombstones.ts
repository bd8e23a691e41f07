import { Store, tombstonesIn, type StoreOptions } from '@agent-audit/queries';
import { covers, NoteError, openNote, parseErasure, type ErasureStatement } from '@agent-audit/tlog';
import { verifiersOf, type Trust } from '../keys.ts';
import type { Tombstone, TombstoneOf } from './name-suspects.ts';
import type { StoredLog } from './stored-log.ts';

/**
 * What was erased of a log, by the store's own account; only where a trusted key of the log has signed that this place was. The tombstones of
 * a log are read when the first is asked for.
 */
export function signedTombstones(options: StoreOptions, trust: Trust): TombstoneOf {
  const logs = new Map<string, Promise<ReadonlyMap<number, Tombstone>>>();
  return async (log, index) => {
    let found = logs.get(log.logId);
    if (found === undefined) logs.set(log.logId, (found = readAll(options, trust, log)));
    return (await found).get(index);
  };
}

async function readAll(options: StoreOptions, trust: Trust, { tenant, collectorId, origin, size }: StoredLog): Promise<ReadonlyMap<number, Tombstone>> {
  const store = new Store(options);
  try {
    const notes = new Map<string, ErasureStatement | undefined>();
    const found = new Map<number, Tombstone>();
    for (const { log_index: index, event_id: eventId, received_at_us: receivedAtUs, digest_hex: digest, note } of await tombstonesIn(store, tenant, collectorId, 0, size)) {
      if (!notes.has(note)) notes.set(note, statementOf(note, origin, trust));
      const statement = notes.get(note);
      if (statement !== undefined && covers(statement, index)) found.set(index, { eventId, receivedAtMicros: Number(receivedAtUs), digest: Buffer.from(digest, 'hex') });
    }
    return found;
  } finally {
    await store.close();
  }
}

function statementOf(note: string, origin: string, trust: Trust): ErasureStatement | undefined {
  try {
    const { text, signedBy } = openNote(note, verifiersOf(trust, origin));
    const statement = parseErasure(text);
    return statement.origin === origin && signedBy.some(({ name, cosigns }) => name === origin && !cosigns) ? statement : undefined;
  } catch (error) {
    if (error instanceof NoteError) return undefined;
    throw error;
  }
}
