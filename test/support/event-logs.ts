import { readLogRows, type Store } from '@agent-audit/queries';
import { createTelemetry, systemClock, type Log } from '@agent-audit/shared';
import { EventLogs, eventLeaf, generateSigner, inclusionProof, MISSING_LEAF, nodesIn, openCheckpoint, parseSigner, parseVerifier, saltedDigest, signNote, verifyInclusion, type CheckpointSigner, type NoteSigner } from '@agent-audit/tlog';
import { pino } from 'pino';
import { expect } from 'vitest';
import { z } from 'zod';

/** A key for each log, made when it is first asked for. */
export class TestSigner implements CheckpointSigner {
  readonly #keys = new Map<string, NoteSigner>();
  /** Signs nothing any more. */
  dead = false;

  keyOf(origin: string): NoteSigner {
    let key = this.#keys.get(origin);
    if (key === undefined) this.#keys.set(origin, (key = parseSigner(generateSigner(origin))));
    return key;
  }

  async sign(origin: string, text: string): Promise<string> {
    if (this.dead) throw new Error('dead');
    return signNote(text, [this.keyOf(origin)]);
  }
}

export interface TestLogsOptions {
  readonly folder: string;
  readonly collectorId: string;
  readonly store: Store;
  readonly signer: TestSigner;
  readonly log?: Log;
}

export function openTestLogs({ folder, collectorId, store, signer, log = pino({ level: 'silent' }) }: TestLogsOptions): Promise<EventLogs> {
  return EventLogs.open({
    folder, collectorId, prefix: 'test', signer, log, clock: systemClock, telemetry: createTelemetry(),
    recorded: (tenant, firstIndex) => readLogRows(store, tenant, collectorId, firstIndex),
  });
}

const Row = z.object({ log_index: z.coerce.number(), event_id: z.string(), received_at_us: z.coerce.number(), raw: z.string() });

/** Every recorded event of the tenant is in its log, under a signed checkpoint, and nothing else is. @param missing places whose events were gone before */
export async function expectLogged(logs: EventLogs, store: Store, signer: TestSigner, tenant: string, collectorId: string, missing: readonly number[] = []): Promise<void> {
  const rows = await store.select(
    `SELECT log_index, event_id, toUnixTimestamp64Micro(received_at) AS received_at_us, raw FROM events WHERE tenant = {tenant: String} AND collector_id = {collector: String} ORDER BY log_index`,
    { tenant, collector: collectorId }, Row,
  );
  const view = logs.view(tenant, collectorId);
  if (view?.note === undefined) throw new Error(`${tenant} has no checkpoint`);
  const { size, root } = openCheckpoint(view.note, view.origin, [parseVerifier(signer.keyOf(view.origin).verifierKey)]);
  const node = nodesIn(view.folder, size);
  const byPlace = new Map(rows.map((row) => [row.log_index, row]));
  expect([...byPlace.keys(), ...missing].toSorted((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, i) => i));
  for (let place = 0; place < size; place++) {
    const row = byPlace.get(place);
    const leaf = row === undefined ? MISSING_LEAF : eventLeaf({ tenant, eventId: row.event_id, receivedAtMicros: row.received_at_us, digest: saltedDigest(view.salts.from(place), Buffer.from(row.raw)) });
    expect(verifyInclusion(leaf, place, size, inclusionProof(node, place, size), root), `place ${place}`).toBe(true);
  }
}
