import { getEvent as findEvent, tombstonesOf, type StoredEvent, type Tombstone } from '@agent-audit/queries';
import { Problem, requireScope, type AuthEnv } from '@agent-audit/shared';
import { formatTlogProof } from '@agent-audit/tlog';
import { Hono } from 'hono';
import type { QueryDeps } from './deps.ts';
import { readCount } from './parameters.ts';
import { judge, type NotProven } from './proofs.ts';

/** `GET /v1/events/{event_id}/proof`: that an event is in the log, as a C2SP tlog-proof. */
export function getProof(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get('/v1/events/:event_id/proof', requireScope(deps.keys, 'events:read'), async (c) => {
    const index = readCount(c, 'log_index');
    await deps.settled();
    const { tenant } = c.get('caller');
    const id = c.req.param('event_id');
    const rows: (StoredEvent | Tombstone)[] = [...(await findEvent(deps.store, tenant, id)), ...(await tombstonesOf(deps.store, tenant, id))];
    const row = index === undefined ? rows[0] : rows.find((one) => one.log_index === index);
    if (row === undefined) throw new Problem('not_found', index === undefined ? 'No event is recorded under this id.' : 'No event is recorded under this id at this place of the log.');
    const judged = judge(deps.proofs, row);
    if (judged.state !== 'verified') throw notProven(judged);
    // Of an erased event the salt would help to guess the bytes.
    const rest = 'raw' in row ? { salt: judged.view.salts.from(row.log_index).toString('base64') } : { digest: Buffer.from(row.digest_hex, 'hex').toString('base64'), erasure: row.note };
    const extra = JSON.stringify({ tenant: row.tenant, event_id: row.event_id, received_at_us: Number(row.received_at_us), ...rest });
    const proof = formatTlogProof({ index: row.log_index, hashes: judged.hashes, extra: Buffer.from(extra), checkpoint: judged.view.note });
    return c.body(proof, 200, { 'content-type': 'text/plain; charset=utf-8' });
  });
}

function notProven({ state, detail }: NotProven): Problem {
  if (state === 'not covered') return new Problem('not_found', `There is no proof: ${detail}.`);
  if (state === 'broken') return new Problem('proof_broken', `There is no valid proof: ${detail}.`);
  return new Problem('proof_pending', 'The event is recorded, and no checkpoint covers it yet; ask again in a few seconds.', {}, { 'retry-after': '2' });
}
