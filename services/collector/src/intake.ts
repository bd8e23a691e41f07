import {
  bomLength, CLOUDEVENT_BATCH_TYPE, CLOUDEVENT_TYPE, LIMITS, readCloudEvent, scanEvent, splitArray, splitCloudEvents, splitLines,
  type EventTape, type FieldError, type ReadLimits, type ReadResult, type ScanError,
} from '@agent-audit/schemas';
import { Problem } from '@agent-audit/shared';

export interface Rejected {
  /** Place among the events of the body, from 0. */
  readonly index: number;
  /** Where one could be read. */
  readonly eventId: string | undefined;
  readonly errors: readonly FieldError[];
  readonly raw: Uint8Array;
}

const JSON_TYPE = 'application/json';
export const NDJSON_TYPES = new Set(['application/x-ndjson', 'application/ndjson', 'application/jsonl']);

/**
 * Takes a body apart into events. One bad event never costs the others: it is rejected by itself, as far as
 * it can be told where it ends.
 *
 * @param contentType the Content-Type header
 * @param tape where the accepted events go
 * @returns the rejected ones
 * @throws Problem `malformed_json` or `invalid_utf8` where the body as a whole cannot be read, with `line`,
 *   `column` and `offset`; `body_too_large`; `unsupported_media_type`
 */
export function readEvents(body: Buffer, contentType: string | undefined, limits: ReadLimits, tape: EventTape): Rejected[] {
  const type = mediaType(contentType);
  const intake = new Intake(tape, limits);
  if (NDJSON_TYPES.has(type)) readLines(body, intake);
  else if (type === JSON_TYPE) (isArray(body) ? readArray : readOne)(body, intake);
  else if (type === CLOUDEVENT_TYPE) readOneCloudEvent(body, intake);
  else if (type === CLOUDEVENT_BATCH_TYPE) readCloudEventBatch(body, intake);
  else throw unsupportedType(type);
  if (intake.count === 0) throw new Problem('empty_body', 'The body holds no event.');
  return intake.rejected;
}

function unsupportedType(type: string): Problem {
  return new Problem(
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

/** Counts the events of one body and keeps what is said of those that are rejected. */
class Intake {
  readonly rejected: Rejected[] = [];
  readonly limits: ReadLimits;
  readonly #tape: EventTape;
  count = 0;

  constructor(tape: EventTape, limits: ReadLimits) {
    this.#tape = tape;
    this.limits = limits;
  }

  /** Takes the event in [start, end). @returns what is wrong with it, already noted */
  take(bytes: Uint8Array, start: number, end: number, explain: (result: ReadResult & { ok: false }) => readonly FieldError[] = ({ errors }) => errors): void {
    const refused = this.#tape.take(bytes, start, end, this.limits);
    if (refused === undefined) this.count++;
    else this.reject(bytes.subarray(start, end), explain(refused), eventIdOf(refused.value));
  }

  reject(raw: Uint8Array, errors: readonly FieldError[], eventId?: string): void {
    this.rejected.push({ index: this.count++, eventId, errors, raw });
  }
}

function readOne(body: Buffer, intake: Intake): void {
  const [start, end] = trim(body, bomLength(body), body.length);
  intake.take(body, start, end, ({ errors, scan }) => {
    // A single event whose text is broken is a broken body; duplicates and depth are the event's own fault.
    if (scan?.code === 'malformed_json' || scan?.code === 'invalid_utf8') {
      const inBody = scanEvent(body, bomLength(body), body.length, intake.limits.nesting);
      throw malformed(inBody.ok ? scan : inBody);
    }
    return errors;
  });
}

function readArray(body: Buffer, intake: Intake): void {
  const split = splitArray(body, intake.limits.nesting);
  if (!split.ok) throw malformed(split);
  for (const { start, end } of split.elements) intake.take(body, start, end);
}

function readLines(body: Buffer, intake: Intake): void {
  const lines = splitLines(body);
  if (lines.length > LIMITS.eventsPerBody) throw new Problem('body_too_large', `The body holds more than ${LIMITS.eventsPerBody} events; send them in several requests.`);
  for (const { start, end, line } of lines) {
    const [from, to] = trim(body, start, end);
    intake.take(body, from, to, ({ errors, scan }) => (scan === undefined ? errors : [atLine(scan, line)]));
  }
}

function readOneCloudEvent(body: Buffer, intake: Intake): void {
  const found = readCloudEvent(body);
  if (found.ok) intake.take(found.bytes, found.range.start, found.range.end);
  else if (found.scan !== undefined) throw malformed(found.scan);
  else intake.reject(body, found.errors);
}

function readCloudEventBatch(body: Buffer, intake: Intake): void {
  const split = splitCloudEvents(body);
  if (!split.ok) throw malformed(split);
  for (const { start, end, scan } of split.elements) {
    const found = readCloudEvent(body, start, end, scan);
    if (found.ok) intake.take(found.bytes, found.range.start, found.range.end);
    else intake.reject(body.subarray(start, end), found.errors);
  }
}

/** The id of a rejected event, if it has one that may be repeated in an answer. */
export function eventIdOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('event_id' in value)) return undefined;
  const { event_id: id } = value;
  return typeof id === 'string' && /^[A-Za-z0-9._:-]{1,128}$/.test(id) ? id : undefined;
}

/** White space around an event is not part of its bytes. */
export function trim(body: Uint8Array, start: number, end: number): [start: number, end: number] {
  const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
  while (start < end && isSpace(body[start])) start++;
  while (end > start && isSpace(body[end - 1])) end--;
  return [start, end];
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
