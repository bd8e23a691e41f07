import { cloudTrailToEvent, scanEvent, scanFieldError, tooBig, type ReadLimits } from '@agent-audit/schemas';
import { requireScope, type AuthEnv } from '@agent-audit/shared';
import { Hono } from 'hono';
import { accept, type CollectorDeps } from './accept.ts';
import { gunzipped, splitRecords } from './cloudtrail-body.ts';
import type { Intake, Rejected } from './intake.ts';
import type { NewEvent } from './recorder.ts';
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
    const body = await gunzipped(await readBody(c.req.raw, deps.config.MAX_BODY_BYTES), deps.config.MAX_BODY_BYTES);
    return accept(deps, c.get('caller'), mapRecords(splitRecords(body, limits.nesting), limits));
  });
}

function mapRecords(records: readonly Uint8Array[], limits: ReadLimits): Intake {
  const accepted: NewEvent[] = [];
  const rejected: Rejected[] = [];
  records.forEach((record, index) => {
    const reject = (errors: Rejected['errors'], eventId?: string): void => void rejected.push({ index, eventId, errors, raw: record });
    const scan = scanEvent(record, 0, record.length, limits.nesting);
    if (!scan.ok) return reject([scanFieldError(scan)]);
    const mapped = cloudTrailToEvent(JSON.parse(Buffer.from(record.buffer, record.byteOffset, record.length).toString('utf8')));
    if (!mapped.ok) return reject(mapped.errors);
    const raw = Buffer.from(JSON.stringify(mapped.event));
    if (raw.length > limits.eventBytes) return reject([tooBig(raw.length, limits.eventBytes)], mapped.event.event_id);
    accepted.push({ event: mapped.event, raw });
  });
  return { accepted, rejected };
}
