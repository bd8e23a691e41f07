import { listQuarantine, type QuarantinedRow } from '@agent-audit/queries';
import { FILTERS, formatNanos, type QuarantineEntry, type QuarantineList } from '@agent-audit/schemas';
import { requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { QueryDeps } from './deps.ts';
import { questionOf, readQuery } from './parameters.ts';

/** [from, to, received_at, quarantine_id]; times in microseconds. */
const Position = z.tuple([z.coerce.bigint(), z.coerce.bigint(), z.coerce.bigint(), z.uuid()]);

/** `GET /v1/quarantine`: refused events by time of receipt, with their bytes and the reasons. */
export function getQuarantine(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get('/v1/quarantine', requireScope(deps.keys, 'events:read'), async (c) => {
    const { tenant } = c.get('caller');
    const { query, text } = readQuery(c, deps.clock, { without: FILTERS });
    const question = questionOf(tenant, 'quarantine', query, text);
    const after = query.cursor === undefined ? undefined : decodeCursor(question, query.cursor, Position);
    const fromUs = after?.[0] ?? query.from / 1000n;
    const toUs = after?.[1] ?? (query.to + 999n) / 1000n;
    const rows = await listQuarantine(deps.store, {
      tenant, fromUs, toUs, order: query.order, limit: query.limit + 1,
      after: after && { receivedAtUs: after[2], quarantineId: after[3] },
    });
    const shown = rows.slice(0, query.limit);
    const last = shown.at(-1);
    return c.json({
      entries: shown.map(entry),
      next_cursor: last !== undefined && rows.length > query.limit
        ? encodeCursor(question, [`${fromUs}`, `${toUs}`, `${last.received_at_us}`, last.quarantine_id])
        : null,
    } satisfies QuarantineList);
  });
}

function entry(row: QuarantinedRow): QuarantineEntry {
  return {
    id: row.quarantine_id,
    received_at: formatNanos(row.received_at_us * 1000n),
    origin: row.origin,
    event_id: row.event_id === '' ? null : row.event_id,
    errors: JSON.parse(row.errors) as QuarantineEntry['errors'],
    raw_base64: row.raw_base64,
    bytes: Buffer.byteLength(row.raw_base64, 'base64'),
  };
}
