import {
  bomLength, CLOUDEVENT_BATCH_TYPE, CLOUDEVENT_TYPE, readCloudEvent, readEvent, scanEvent, splitArray, splitCloudEvents, splitLines,
  type FieldError, type ReadLimits, type ReadResult, type ScanError,
} from '@agent-audit/schemas';
import { Problem } from '@agent-audit/shared';
import type { NewEvent } from './recorder.ts';

export interface Rejected {
  /** Place among the events of the body, from 0. */
  readonly index: number;
  /** Where one could be read. */
  readonly eventId: string | undefined;
  readonly errors: readonly FieldError[];
  readonly raw: Uint8Array;
}

export interface Intake {
  readonly accepted: readonly NewEvent[];
  readonly rejected: readonly Rejected[];
}

const JSON_TYPE = 'application/json';
const NDJSON_TYPES = ['application/x-ndjson', 'application/ndjson', 'application/jsonl'];

/**
 * Takes a body apart into events. One bad event never costs the others: it is rejected by itself, as far as
 * it can be told where it ends.
 *
 * @param contentType the Content-Type header
 * @throws Problem `malformed_json` or `invalid_utf8` where the body as a whole cannot be read, with `line`,
 *   `column` and `offset`; `body_too_large`; `unsupported_media_type`
 */
export function readEvents(body: Uint8Array, contentType: string | undefined, limits: ReadLimits): Intake {
  const type = mediaType(contentType);
  if (NDJSON_TYPES.includes(type)) return readLines(body, limits);
  if (type === JSON_TYPE) return isArray(body) ? readArray(body, limits) : readOne(body, limits);
  if (type === CLOUDEVENT_TYPE) return readOneCloudEvent(body, limits);
  if (type === CLOUDEVENT_BATCH_TYPE) return readCloudEventBatch(body, limits);
  throw new Problem(
    'unsupported_media_type',
    `Content-Type ${type === '' ? 'is missing' : `\`${type.slice(0, 80)}\` is not supported`}; send application/json, application/x-ndjson, ${CLOUDEVENT_TYPE} or ${CLOUDEVENT_BATCH_TYPE}.`,
  );
}

/** The media type without its parameters, in lower case (RFC 9110 section 8.3.1). */
export function mediaType(contentType: string | undefined): string {
  return (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

function isArray(body: Uint8Array): boolean {
  let i = bomLength(body);
  while (body[i] === 0x20 || body[i] === 0x09 || body[i] === 0x0a || body[i] === 0x0d) i++;
  return body[i] === 0x5b;
}

function readOne(body: Uint8Array, limits: ReadLimits): Intake {
  const raw = trim(body, bomLength(body), body.length);
  const result = readEvent(raw, 0, raw.length, limits);
  if (!result.ok && result.scan !== undefined) refuseBody(scanEvent(body, bomLength(body), body.length, limits.nesting), result.scan);
  return collect([{ raw, result }]);
}

function readArray(body: Uint8Array, limits: ReadLimits): Intake {
  const split = splitArray(body, limits.nesting);
  if (!split.ok) throw malformed(split);
  return collect(split.elements.map(({ start, end }) => ({ raw: body.subarray(start, end), result: readEvent(body, start, end, limits) })));
}

function readLines(body: Uint8Array, limits: ReadLimits): Intake {
  return collect(
    splitLines(body).map(({ start, end, line }) => {
      const raw = trim(body, start, end);
      const result = readEvent(raw, 0, raw.length, limits);
      return { raw, result: result.ok || result.scan === undefined ? result : { ...result, errors: [atLine(result.scan, line)] } };
    }),
  );
}

function readOneCloudEvent(body: Uint8Array, limits: ReadLimits): Intake {
  const found = readCloudEvent(body);
  if (!found.ok) {
    if (found.scan !== undefined) throw malformed(found.scan);
    return collect([{ raw: body, result: found }]);
  }
  return collect([readEnclosed(found.bytes, found.range, limits)]);
}

function readCloudEventBatch(body: Uint8Array, limits: ReadLimits): Intake {
  const split = splitCloudEvents(body);
  if (!split.ok) throw malformed(split);
  return collect(
    split.elements.map(({ start, end, scan }) => {
      const found = readCloudEvent(body, start, end, scan);
      return found.ok ? readEnclosed(found.bytes, found.range, limits) : { raw: body.subarray(start, end), result: found };
    }),
  );
}

function readEnclosed(bytes: Uint8Array, { start, end }: { start: number; end: number }, limits: ReadLimits): Candidate {
  return { raw: bytes.subarray(start, end), result: readEvent(bytes, start, end, limits) };
}

interface Candidate {
  readonly raw: Uint8Array;
  readonly result: ReadResult;
}

function collect(candidates: readonly Candidate[]): Intake {
  if (candidates.length === 0) throw new Problem('empty_body', 'The body holds no event.');
  const accepted: NewEvent[] = [];
  const rejected: Rejected[] = [];
  candidates.forEach(({ raw, result }, index) => {
    if (result.ok) accepted.push({ event: result.event, raw });
    else rejected.push({ index, eventId: eventIdOf(result.value), errors: result.errors, raw });
  });
  return { accepted, rejected };
}

/** The id of a rejected event, if it has one that may be repeated in an answer. */
function eventIdOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('event_id' in value)) return undefined;
  const { event_id: id } = value;
  return typeof id === 'string' && /^[A-Za-z0-9._:-]{1,128}$/.test(id) ? id : undefined;
}

/** White space around an event is not part of its bytes. */
function trim(body: Uint8Array, start: number, end: number): Uint8Array {
  const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
  while (start < end && isSpace(body[start])) start++;
  while (end > start && isSpace(body[end - 1])) end--;
  return body.subarray(start, end);
}

/** A single event whose text is broken is a broken body; duplicates and depth are the event's own fault. */
function refuseBody(inBody: ReturnType<typeof scanEvent>, error: ScanError): void {
  if (error.code === 'malformed_json' || error.code === 'invalid_utf8') throw malformed(inBody.ok ? error : inBody);
}

/** The answer to a body that is broken as a whole. */
export function malformed(error: ScanError): Problem {
  const { line, column, offset, message } = error;
  if (error.code === 'too_many') return new Problem('body_too_large', `${message}.`);
  return new Problem(
    error.code === 'invalid_utf8' ? 'invalid_utf8' : error.code === 'too_deep' ? 'too_deep' : 'malformed_json',
    `The body cannot be read: ${message} (line ${line}, column ${column}, byte ${offset}).`,
    { line, column, offset },
  );
}

function atLine(error: ScanError, line: number): FieldError {
  return { path: error.path, code: error.code, message: `${error.message} (line ${line} of the body, column ${error.column})` };
}
