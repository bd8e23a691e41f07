/**
 * CloudEvents 1.0 in the JSON event format, structured and batch. The envelope only carries: what is
 * recorded is the event in `data`, byte for byte, or the bytes that `data_base64` encodes. Nothing is taken
 * from the envelope to complete an event (its `id`, `time` and `source` need not equal ours), so an event
 * that arrives by two roads is the same bytes on both.
 */
import type { FieldError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { memberRange, scanEvent, scanFieldError, splitArray, type Range, type ScanError, type ScanResult, type SplitResult } from './scan.ts';
import { parseTime } from './time.ts';

export const CLOUDEVENT_TYPE = 'application/cloudevents+json';
export const CLOUDEVENT_BATCH_TYPE = 'application/cloudevents-batch+json';

export type CloudEventResult =
  | {
      readonly ok: true;
      /** The buffer that holds the event: the body's own, or the decoded `data_base64`. */
      readonly bytes: Uint8Array;
      /** Where in `bytes` the event is. Not yet scanned as an event: give it to `readEvent`. */
      readonly range: Range;
    }
  | { readonly ok: false; readonly errors: readonly FieldError[]; readonly scan?: ScanError };

/** RFC 2045 media types that say JSON, with parameters or without. */
const JSON_TYPE = /^(?:[a-z0-9!#$&^_.+-]+\/(?:[a-z0-9!#$&^_.+-]+\+)?json)\s*(?:;.*)?$/i;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * Finds the event inside the structured CloudEvent in [start, end). `scanned` is the verdict of `splitCloudEvents`
 * where there is one. Paths of errors point into the envelope.
 */
export function readCloudEvent(bytes: Uint8Array, start = 0, end = bytes.length, scanned?: ScanResult): CloudEventResult {
  // The envelope is one level more than the event that it carries.
  const scan = scanned ?? scanEvent(bytes, start, end, LIMITS.nesting + 1);
  if (!scan.ok) return { ok: false, errors: [scanFieldError(scan)], scan };
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
  const envelope: unknown = JSON.parse(text);
  if (typeof envelope !== 'object' || envelope === null || Array.isArray(envelope)) {
    return { ok: false, errors: [{ path: '', code: 'wrong_type', message: 'a structured CloudEvent must be a JSON object' }] };
  }
  const errors = checkEnvelope(envelope as Record<string, unknown>);
  if (errors.length > 0) return { ok: false, errors };
  const encoded = (envelope as Record<string, unknown>)['data_base64'];
  if (typeof encoded === 'string') {
    const decoded = Buffer.from(encoded, 'base64');
    return { ok: true, bytes: decoded, range: { start: 0, end: decoded.length } };
  }
  const range = memberRange(bytes, { start, end }, 'data');
  if (!range) return { ok: false, errors: [{ path: '/data', code: 'required', message: 'the CloudEvent carries no `data`' }] };
  return { ok: true, bytes, range };
}

/** Elements of a CloudEvents batch (section 4 of the JSON event format); give each to `readCloudEvent`. */
export function splitCloudEvents(bytes: Uint8Array): SplitResult {
  return splitArray(bytes, LIMITS.nesting + 1);
}

function checkEnvelope(envelope: Record<string, unknown>): FieldError[] {
  const errors: FieldError[] = [];
  const add = (name: string, code: FieldError['code'], message: string): void => void errors.push({ path: `/${name}`, code, message });
  const has = (name: string): boolean => Object.hasOwn(envelope, name) && envelope[name] !== null;

  for (const name of ['specversion', 'id', 'source', 'type']) {
    if (!has(name)) add(name, 'required', `CloudEvents 1.0 requires \`${name}\``);
    else if (typeof envelope[name] !== 'string') add(name, 'wrong_type', 'must be a string');
    else if (envelope[name] === '') add(name, 'too_short', 'must not be empty');
  }
  if (typeof envelope['specversion'] === 'string' && envelope['specversion'] !== '' && envelope['specversion'] !== '1.0') {
    add('specversion', 'not_allowed', 'must be 1.0, the version understood here');
  }
  for (const name of ['datacontenttype', 'dataschema', 'subject', 'time']) {
    if (has(name) && typeof envelope[name] !== 'string') add(name, 'wrong_type', 'must be a string');
  }
  if (typeof envelope['time'] === 'string') {
    const time = parseTime(envelope['time']);
    if (!time.ok) add('time', time.code, time.message);
  }
  for (const name of Object.keys(envelope)) {
    if (name === 'data' || name === 'data_base64') continue;
    if (!/^[a-z0-9]{1,128}$/.test(name)) {
      if (errors.length < 32) errors.push({ path: '', code: 'unknown_field', message: 'names of CloudEvents attributes are lower-case letters and digits' });
    } else if (typeof envelope[name] === 'object' && envelope[name] !== null) {
      if (errors.length < 32) add(name, 'wrong_type', 'attributes of a CloudEvent are strings, numbers or booleans; the event goes in `data`');
    }
  }
  const type = envelope['datacontenttype'];
  if (typeof type === 'string' && !JSON_TYPE.test(type)) {
    add('datacontenttype', 'unsupported', 'must be application/json or another +json type: the data is an audit event');
  }
  const encoded = envelope['data_base64'];
  if (has('data') && has('data_base64')) {
    add('data_base64', 'unsupported', 'a CloudEvent carries `data` or `data_base64`, not both');
  } else if (has('data_base64')) {
    if (typeof encoded !== 'string') add('data_base64', 'wrong_type', 'must be a string of base64');
    else if (encoded.length % 4 !== 0 || !BASE64.test(encoded)) add('data_base64', 'bad_format', 'is not base64 (RFC 4648 section 4, padded, no line breaks)');
  } else if (!has('data')) {
    add('data', 'required', 'the CloudEvent carries no `data`; it must be the audit event');
  } else if (typeof envelope['data'] !== 'object' || Array.isArray(envelope['data'])) {
    add('data', 'wrong_type', 'must be the audit event as a JSON object, not text or a list');
  }
  return errors;
}
