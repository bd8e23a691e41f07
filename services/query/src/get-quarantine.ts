import { countDropped, findReplays, listQuarantine, readQuarantined, whileBytesFit, type QuarantinedRow, type Replay } from '@agent-audit/queries';
import { FIELD_ERROR_CODES, FILTERS, formatNanos, QUARANTINE_STATES, type QuarantineEntry, type QuarantineList } from '@agent-audit/schemas';
import { decodeCursor, encodeCursor, requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import { z } from 'zod';
import type { QueryDeps } from './deps.ts';
import { oneOf, questionOf, readQuery } from './parameters.ts';

/** [from, to, received_at, quarantine_id]; times in microseconds. */
const Position = z.tuple([z.coerce.bigint(), z.coerce.bigint(), z.coerce.bigint(), z.uuid()]);

/** Bytes of entries on one page, which may have fewer than were asked for: a refused event may be as large as a body. */
const PAGE_BYTES = 16 * 1024 * 1024;

/** `GET /v1/quarantine`: refused events by time of receipt, with their bytes and the reasons. */
export function getQuarantine(deps: QueryDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get('/v1/quarantine', requireScope(deps.keys, 'events:read'), async (c) => {
    const { tenant } = c.get('caller');
    const { query, text } = readQuery(c, deps.clock, { without: FILTERS, also: ['state', 'code'] });
    const state = oneOf(text, 'state', QUARANTINE_STATES);
    const code = oneOf(text, 'code', Object.keys(FIELD_ERROR_CODES));
    const question = [questionOf(tenant, 'quarantine', query, text), state, code];
    const after = query.cursor === undefined ? undefined : decodeCursor(question, query.cursor, Position);
    const fromUs = after?.[0] ?? query.from / 1000n;
    const toUs = after?.[1] ?? (query.to + 999n) / 1000n;
    await deps.settled();
    const [rows, dropped] = await Promise.all([
      listQuarantine(deps.store, {
        tenant, fromUs, toUs, state, code, order: query.order, limit: query.limit + 1,
        after: after && { receivedAtUs: after[2], quarantineId: after[3] },
      }),
      countDropped(deps.store, tenant, { fromNs: fromUs * 1000n, toNs: toUs * 1000n }),
    ]);
    const shown = whileBytesFit(rows.slice(0, query.limit), PAGE_BYTES);
    const [raw, replays] = await Promise.all([
      readQuarantined(deps.store, tenant, shown),
      findReplays(deps.store, tenant, shown.map((row) => row.quarantine_id)),
    ]);
    const last = shown.at(-1);
    return c.json({
      entries: shown.map((row) => entry(row, raw.get(row.quarantine_id) ?? '', replays.get(row.quarantine_id))),
      next_cursor: last !== undefined && rows.length > shown.length
        ? encodeCursor(question, [`${fromUs}`, `${toUs}`, `${last.received_at_us}`, last.quarantine_id])
        : null,
      dropped,
    } satisfies QuarantineList);
  });
}

function entry(row: QuarantinedRow, raw: string, replay: Replay | undefined): QuarantineEntry {
  return {
    id: row.quarantine_id,
    received_at: formatNanos(row.received_at_us * 1000n),
    origin: row.origin,
    event_id: row.event_id === '' ? null : row.event_id,
    errors: JSON.parse(row.errors) as QuarantineEntry['errors'],
    raw_base64: raw,
    bytes: row.bytes,
    state: replay === undefined ? 'quarantined' : 'replayed',
    replay: replay === undefined ? null : { at: formatNanos(replay.replayedAtUs * 1000n), origin: replay.origin, event_id: replay.eventId, corrected: replay.corrected },
  };
}
