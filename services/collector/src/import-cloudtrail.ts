import type { EventTape, ReadLimits } from '@agent-audit/schemas';
import { requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import { accept, type CollectorDeps } from './accept.ts';
import type { BodyDeps } from './body-budget.ts';
import { gunzipped, splitRecords } from './cloudtrail-body.ts';
import { mediaType, NDJSON_TYPES, type Rejected } from './intake.ts';
import { readBody } from './read-body.ts';
import { takeCloudTrail } from './take-cloudtrail.ts';

/**
 * `POST /v1/import/cloudtrail`: AWS CloudTrail as delivered (`{"Records": [...]}`), an array, or one record a
 * line; plain, with a Content-Encoding, or the `.json.gz` file itself.
 *
 * The mapping gives the same bytes for the same record, so importing a file again adds nothing.
 */
export function importCloudTrail(deps: CollectorDeps & BodyDeps): Hono<AuthEnv> {
  const limits = { eventBytes: deps.config.MAX_EVENT_BYTES, nesting: deps.config.MAX_NESTING };
  return new Hono<AuthEnv>().post('/v1/import/cloudtrail', requireScope(deps.keys, 'events:write'), async (c) => {
    deps.keys.rates.expectEvents(c.get('caller'));
    const body = await readBody(c, deps.config.MAX_BODY_BYTES, deps.bodies);
    let records: Uint8Array[];
    try {
      records = splitRecords(await gunzipped(body, deps.config.MAX_BODY_BYTES), NDJSON_TYPES.has(mediaType(c.req.header('content-type'))), limits.nesting);
      deps.keys.rates.events(c.get('caller'), records.length);
    } catch (error) {
      body.release();
      throw error;
    }
    return accept(deps, c.get('caller'), body, c.req.header('prefer'), (tape) => mapRecords(records, limits, tape));
  });
}

function mapRecords(records: readonly Uint8Array[], limits: ReadLimits, tape: EventTape): Rejected[] {
  const rejected: Rejected[] = [];
  records.forEach((record, index) => {
    const refused = takeCloudTrail(tape, record, limits);
    if (refused !== undefined) rejected.push({ index, eventId: refused.eventId, errors: refused.errors, raw: record });
  });
  return rejected;
}
