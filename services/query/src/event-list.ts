import { completeness, flagNames, listEvents, type StoredEvent } from '@agent-audit/queries';
import { formatNanos, type EventQuery, type Recorded } from '@agent-audit/schemas';
import { decodeCursor, encodeCursor } from '@agent-audit/shared';
import { z } from 'zod';
import { completenessAnswer } from './completeness-answer.ts';
import type { QueryDeps } from './deps.ts';

/** [from, to, time, agent, event, taken]: the window as it was resolved for the first page, and where the last ended. */
const Position = z.tuple([z.coerce.bigint(), z.coerce.bigint(), z.coerce.bigint(), z.string(), z.string(), z.int().min(0)]);

/** One page of events with the completeness of its window, as the list routes answer it. */
export async function answerEventList(deps: QueryDeps, tenant: string, query: EventQuery, question: unknown): Promise<Response> {
  const asOfUs = deps.clock.nowMicros();
  const after = query.cursor === undefined ? undefined : decodeCursor(question, query.cursor, Position);
  // A relative window stands still from the first page on.
  const window = { fromNs: after?.[0] ?? query.from, toNs: after?.[1] ?? query.to };
  await deps.settled();
  const [page, known] = await Promise.all([
    listEvents(deps.store, {
      tenant,
      ...window,
      filters: query.filters,
      order: query.order,
      limit: query.limit,
      after: after && { timeNs: after[2], agentId: after[3], eventId: after[4], taken: after[5] },
    }),
    completeness(deps.store, tenant, window, agentsOf(query), asOfUs),
  ]);
  const { next } = page;
  const cursor = next === undefined
    ? null
    : encodeCursor(question, [`${window.fromNs}`, `${window.toNs}`, `${next.timeNs}`, next.agentId, next.eventId, next.taken]);
  return json(
    `{"events":[${page.events.map((row) => eventRecordJson(deps, row)).join(',')}],"next_cursor":${JSON.stringify(cursor)},"completeness":${JSON.stringify(completenessAnswer(known, asOfUs))}}`,
  );
}

/** Completeness is a matter of emitters, so of all filters only the agents narrow it: what is missing might have matched. */
export function agentsOf(query: EventQuery): readonly string[] | undefined {
  const agents = query.filters.agent_id;
  return agents !== undefined && agents.any.length > 0 ? agents.any : undefined;
}

/** `{event, recorded}` as JSON text. The event goes out as the very bytes that came in, never parsed and printed again. */
export function eventRecordJson({ proofs }: QueryDeps, row: StoredEvent): string {
  const salt = proofs?.logs.saltOf(row.tenant, row.collector_id, row.log_index);
  const recorded: Recorded = {
    received_at: formatNanos(row.received_at_us * 1000n),
    collector_id: row.collector_id,
    log_id: `${row.tenant}/${row.collector_id}`,
    log_index: row.log_index,
    ...(salt === undefined ? {} : { salt: salt.toString('base64') }),
    redactions: [],
    flags: flagNames(row.flags),
  };
  return `{"event":${row.raw},"recorded":${JSON.stringify(recorded)}}`;
}

export function json(text: string): Response {
  return new Response(`${text}\n`, { headers: { 'content-type': 'application/json; charset=utf-8' } });
}
