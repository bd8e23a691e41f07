import { randomUUID } from 'node:crypto';
import { putErasure, rowsUnder, tombstonesOf, type StoredEvent } from '@agent-audit/queries';
import { ErasureRequest, explainIssues, formatNanos, type ErasureAnswer } from '@agent-audit/schemas';
import { invalidParameter, Problem, requireScope, type AuthEnv } from '@agent-audit/shared';
import { erasureText, rangesOf, saltedDigest } from '@agent-audit/tlog';
import { Hono, type Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { QueryDeps } from './deps.ts';
import { judge, type Proofs } from './proofs.ts';

const BODY_BYTES = 256 * 1024;

/** `POST /v1/erasures`: the bytes of events go; their leaves stay, with a signed word of who, when and why. */
export function postErasure(deps: QueryDeps): Hono<AuthEnv> {
  const limit = bodyLimit({
    maxSize: BODY_BYTES,
    onError: () => {
      throw new Problem('body_too_large', `An erasure has at most ${BODY_BYTES} bytes; send several.`, { limit_bytes: BODY_BYTES }, { connection: 'close' });
    },
  });
  return new Hono<AuthEnv>().post('/v1/erasures', requireScope(deps.keys, 'admin'), limit, async (c) => {
    const { proofs } = deps;
    if (proofs === undefined) throw new Problem('conflict', 'Proofs are switched off: without a log nobody could tell what was erased from what never was.');
    const { event_ids: ids, reason } = await readRequest(c);
    const { tenant, keyId } = c.get('caller');
    await deps.settled();
    const found: StoredEvent[] = [];
    const notFound: string[] = [];
    let before = 0;
    for (const id of new Set(ids)) {
      const rows = await rowsUnder(deps.store, tenant, id);
      const gone = (await tombstonesOf(deps.store, tenant, id)).filter((one) => !rows.some((row) => isSame(row, one)));
      before += gone.length;
      found.push(...rows);
      if (rows.length === 0 && gone.length === 0) notFound.push(id);
    }
    for (const row of found) mayErase(proofs, row);
    for (const [collectorId, rows] of Map.groupBy(found, (row) => row.collector_id)) await erase(deps, proofs, { tenant, collectorId, rows, by: `key:${keyId}`, reason });
    return c.json({ erased: found.length, erased_before: before, not_found: notFound } satisfies ErasureAnswer);
  });
}

const isSame = (a: { collector_id: string; log_index: number }, b: { collector_id: string; log_index: number }): boolean => a.collector_id === b.collector_id && a.log_index === b.log_index;

/** Only what the log proves: else an erasure would hide a forgery. @throws Problem */
function mayErase(proofs: Proofs, row: StoredEvent): void {
  const judged = judge(proofs, row);
  if (judged.state === 'pending') throw new Problem('proof_pending', `No checkpoint covers the event ${row.event_id} yet; nothing was erased. Ask again in a few seconds.`, {}, { 'retry-after': '2' });
  if (judged.state !== 'verified') throw new Problem('proof_broken', `The event ${row.event_id} cannot be erased, and nothing was: ${judged.detail}.`);
}

interface Erase {
  readonly tenant: string;
  readonly collectorId: string;
  readonly rows: readonly StoredEvent[];
  readonly by: string;
  readonly reason: string;
}

async function erase({ store, clock }: QueryDeps, { logs, keys }: Proofs, { tenant, collectorId, rows, by, reason }: Erase): Promise<void> {
  const { origin, salts } = logs.view(tenant, collectorId) as NonNullable<ReturnType<typeof logs.view>>;
  const erasedAtMicros = clock.nowMicros();
  const text = erasureText({ origin, ranges: rangesOf(rows.map((row) => row.log_index)), by, at: formatNanos(erasedAtMicros * 1000n), reason });
  await putErasure(store, {
    tenant, collectorId, erasedAtMicros,
    erasureId: randomUUID(),
    note: await keys.sign(origin, text),
    events: rows.map((row) => ({ logIndex: row.log_index, digestHex: saltedDigest(salts.from(row.log_index), Buffer.from(row.raw)).toString('hex') })),
  });
}

async function readRequest(c: Context): Promise<ErasureRequest> {
  let value: unknown;
  try {
    value = await c.req.json();
  } catch {
    throw new Problem('malformed_json', 'The body must be a JSON object such as {"event_ids": ["e-1"], "reason": "request 17 under GDPR article 17"}.');
  }
  const parsed = ErasureRequest.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidParameter(explainIssues(parsed.error.issues, value));
}
