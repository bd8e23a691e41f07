import { LIMITS, memberRange, scanEvent, splitArray, splitLines } from '@agent-audit/schemas';
import { Problem } from '@agent-audit/shared';
import { malformed } from './intake.ts';
import { decode, type Body } from './read-body.ts';

/** Unpacks a `.json.gz` file that was sent as it is, without a Content-Encoding to say so. */
export function gunzipped({ bytes, share }: Pick<Body, 'bytes' | 'share'>, maxBytes: number): Promise<Buffer> | Buffer {
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? decode([bytes], 'gzip', maxBytes, share) : bytes;
}

/**
 * The bytes of each CloudTrail record in a body, whichever of its forms it has.
 *
 * @param ndjson the sender says one record a line; where it does not, the first line tells
 * @throws Problem `malformed_json` or `empty_body`
 */
export function splitRecords(body: Buffer, ndjson: boolean, nesting: number): Uint8Array[] {
  const lines = splitLines(body);
  const [first] = lines;
  if (first === undefined) throw new Problem('empty_body', 'The body holds no CloudTrail record.');
  if (lines.length > LIMITS.eventsPerBody) throw new Problem('body_too_large', `The body holds more than ${LIMITS.eventsPerBody} records; send them in several requests.`);
  // One value a line: each line is whole. A log file is one value, on one line or indented over many.
  if (ndjson || (lines.length > 1 && scanEvent(body, first.start, first.end, nesting).ok)) return lines.map(({ start, end }) => body.subarray(start, end));
  if (body[first.start] === 0x5b) return elements(body, nesting);
  // The file's own object and its list are two levels around each record.
  const scan = scanEvent(body, first.start, body.length, nesting + 2);
  if (!scan.ok) throw malformed(scan);
  const range = memberRange(body, { start: first.start, end: body.length }, 'Records');
  return range !== undefined && body[range.start] === 0x5b ? elements(body.subarray(range.start, range.end), nesting) : [body.subarray(first.start)];
}

function elements(array: Buffer, nesting: number): Uint8Array[] {
  const split = splitArray(array, nesting);
  if (!split.ok) throw malformed(split);
  if (split.elements.length === 0) throw new Problem('empty_body', 'The body holds no CloudTrail record.');
  return split.elements.map(({ start, end }) => array.subarray(start, end));
}
