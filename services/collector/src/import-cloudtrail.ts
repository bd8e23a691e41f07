import { cloudTrailToEvent, scanEvent, scanFieldError, type EventTape, type ReadLimits } from '@agent-audit/schemas';
import { requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import { accept, type CollectorDeps } from './accept.ts';
import { gunzipped, splitRecords } from './cloudtrail-body.ts';
import { mediaType, NDJSON_TYPES, type Rejected } from './intake.ts';
import { readBody } from './read-body.ts';

/**
 * `POST /v1/import/cloudtrail`: AWS CloudTrail as delivered (`{"Records": [...]}`), an array, or one record a
 * line; plain, with a Content-Encoding, or the `.json.gz` file itself.
 *
 * The mapping gives the same bytes for the same record, so importing a file again adds nothing.
 */
export function importCloudTrail(deps: CollectorDeps): Hono<AuthEnv> {
  const limits = { eventBytes: deps.config.MAX_EVENT_BYTES, nesting: deps.config.MAX_NESTING };
  return new Hono<AuthEnv>().post('/v1/import/cloudtrail', requireScope(deps.keys, 'events:write'), async (c) => {
    const body = await readBody(c, deps.config.MAX_BODY_BYTES);
    let records: Uint8Array[];
    try {
      records = splitRecords(await gunzipped(body.bytes, deps.config.MAX_BODY_BYTES), NDJSON_TYPES.has(mediaType(c.req.header('content-type'))), limits.nesting);
    } catch (error) {
      body.release();
      throw error;
    }
    return accept(deps, c.get('caller'), body, c.req.header('prefer'), (tape) => mapRecords(records, limits, tape));
  });
}

function mapRecords(records: readonly Uint8Array[], limits: ReadLimits, tape: EventTape): Rejected[] {
  const rejected: Rejected[] = [];
  // The record is two levels further down in the event than it was by itself.
  const eventLimits = { ...limits, nesting: limits.nesting + 2 };
  records.forEach((record, index) => {
    const reject = (errors: Rejected['errors'], eventId?: string): void => void rejected.push({ index, eventId, errors, raw: record });
    const scan = scanEvent(record, 0, record.length, limits.nesting);
    if (!scan.ok) return reject([scanFieldError(scan)]);
    const mapped = cloudTrailToEvent(JSON.parse(Buffer.from(record.buffer, record.byteOffset, record.length).toString('utf8')));
    if (!mapped.ok) return reject(mapped.errors);
    const raw = Buffer.from(JSON.stringify(mapped.event));
    const refused = tape.take(raw, 0, raw.length, eventLimits);
    if (refused !== undefined) reject(refused.errors, mapped.event.event_id);
  });
  return rejected;
}
