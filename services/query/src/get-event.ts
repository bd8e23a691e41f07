import { getEvent as findEvent, tombstonesOf } from '@agent-audit/queries';
import { formatNanos } from '@agent-audit/schemas';
import { Problem, requireScope, type AuthEnv } from '@agent-audit/shared';
import { parseErasure, parseNote } from '@agent-audit/tlog';
import { Hono } from 'hono';
import type { QueryDeps } from './deps.ts';
import { eventRecordJson, json } from './event-list.ts';
import { proofState } from './proofs.ts';

/**
 * `GET /v1/events/{event_id}`: the event first recorded under an id, with all others recorded under the same
 * id with other bytes as `conflicts`, and what the log says of it.
 */
export function getEvent(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get('/v1/events/:event_id', requireScope(deps.keys, 'events:read'), async (c) => {
    await deps.settled();
    const { tenant } = c.get('caller');
    const id = c.req.param('event_id');
    const [first, ...others] = await findEvent(deps.store, tenant, id);
    if (first === undefined) throw (await erased(deps, tenant, id)) ?? new Problem('not_found', 'No event is recorded under this id.');
    const record = eventRecordJson(deps, first);
    const proof = JSON.stringify(proofState(deps.proofs, first));
    return json(`${record.slice(0, -1)},"proof":${proof},"conflicts":[${others.map((row) => eventRecordJson(deps, row)).join(',')}]}`);
  });
}

/** What is known of an event whose bytes are gone. */
async function erased({ store }: QueryDeps, tenant: string, eventId: string): Promise<Problem | undefined> {
  const [tombstone] = await tombstonesOf(store, tenant, eventId);
  if (tombstone === undefined) return undefined;
  const { by, at, reason } = parseErasure(parseNote(tombstone.note).text);
  return new Problem('erased', 'The bytes of this event were erased. Its leaf is in the log; ask for its proof.', {
    log_id: `${tombstone.tenant}/${tombstone.collector_id}`, log_index: tombstone.log_index, received_at: formatNanos(tombstone.received_at_us * 1000n), erasure: { by, at, reason },
  });
}
