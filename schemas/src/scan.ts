/**
 * What a body of bytes holds, before anything is parsed: one event, the elements of an array, the lines of
 * NDJSON, and the range of one member. Offsets are bytes into the given buffer; lines and columns count
 * from 1, columns in bytes.
 */
import { isUtf8 } from 'node:buffer';
import type { FieldError, FieldErrorCode } from './errors.ts';
import { LIMITS } from './limits.ts';
import * as core from './scan-core.ts';

export interface Range {
  /** Offset of the first byte. */
  readonly start: number;
  /** Offset behind the last byte. */
  readonly end: number;
}

export interface ScanError {
  readonly ok: false;
  readonly code: Extract<FieldErrorCode, 'malformed_json' | 'duplicate_key' | 'too_deep' | 'invalid_utf8' | 'too_many'>;
  /** Byte offset into the buffer. */
  readonly offset: number;
  /** Counted from the start of the text that was scanned (the event, or the whole body for `splitArray`). */
  readonly line: number;
  readonly column: number;
  readonly message: string;
  /** JSON Pointer of the value that was being read. */
  readonly path: string;
}

export interface ScanOk {
  readonly ok: true;
  /** A `\ud800` to `\udfff` escape occurs: typed strings need the check for lone surrogates. */
  readonly surrogates: boolean;
  /** Every byte is ASCII: the text may be decoded as latin1, which is faster. */
  readonly ascii: boolean;
}

export type ScanResult = ScanOk | ScanError;

// The four outcomes, made once: a scan of an accepted event allocates nothing.
const OK: readonly ScanOk[] = [0, 1, 2, 3].map((bits) => ({ ok: true, surrogates: (bits & 1) !== 0, ascii: (bits & 2) === 0 }));

/** Line and column of an offset, counted from `from`. Linear in the distance: for errors only. */
export function positionAt(bytes: Uint8Array, offset: number, from = 0): { line: number; column: number } {
  let line = 1;
  let lineStart = from;
  const stop = Math.min(offset, bytes.length);
  for (let i = bytes.indexOf(0x0a, from); i !== -1 && i < stop; i = bytes.indexOf(0x0a, i + 1)) {
    line++;
    lineStart = i + 1;
  }
  return { line, column: offset - lineStart + 1 };
}

function toError(bytes: Uint8Array, start: number, problem: Omit<ScanError, 'ok' | 'line' | 'column'>): ScanError {
  const { line, column } = positionAt(bytes, problem.offset, start);
  return { ok: false, ...problem, line, column };
}

/** Verdict on the value that `core` has just read, UTF-8 included. */
function verdict(bytes: Uint8Array, start: number, end: number, problem: core.ScanProblem | undefined): ScanResult {
  if (problem?.code !== 'malformed_json' && core.sawNonAscii) {
    // Before a duplicate is believed: replacement characters make different broken keys look alike.
    const part = bytes.subarray(start, end);
    if (!isUtf8(part)) {
      return toError(bytes, start, {
        code: 'invalid_utf8', offset: start + firstInvalidUtf8(part), message: 'these bytes are not UTF-8; JSON must be sent as UTF-8', path: '',
      });
    }
  }
  if (problem) return toError(bytes, start, problem);
  return OK[(core.sawSurrogate ? 1 : 0) | (core.sawNonAscii ? 2 : 0)] as ScanOk;
}

/**
 * Scans the one JSON value in [start, end), white space around it allowed. `JSON.parse` of the same bytes
 * succeeds exactly when this says ok or reports `duplicate_key` or `too_deep`.
 */
export function scanEvent(bytes: Uint8Array, start = 0, end = bytes.length, maxDepth: number = LIMITS.nesting): ScanResult {
  const problem = core.scanValue(bytes, start, end, maxDepth);
  if (problem === undefined || problem.code === 'duplicate_key') {
    const rest = core.skipSpace(bytes, core.scannedTo, end);
    if (rest < end) {
      return toError(bytes, start, { code: 'malformed_json', offset: rest, message: 'more text follows where the event should end', path: '' });
    }
  }
  return verdict(bytes, start, end, problem);
}

/** 3 when a UTF-8 byte order mark leads, which RFC 8259 lets a reader ignore; else 0. */
export function bomLength(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

export interface Element extends Range {
  /** What `scanEvent` would say of this element. */
  readonly scan: ScanResult;
}

export type SplitResult = { readonly ok: true; readonly elements: readonly Element[] } | ScanError;

/**
 * Finds the elements of a top-level JSON array and scans each in the same pass. Malformed text anywhere
 * fails the whole (nobody can tell where the next element would begin); an element that nests too deep, has
 * duplicate keys or is not UTF-8 fails alone. More than `maxEvents` elements is `too_many`, found before the
 * list of them grows. A leading byte order mark is skipped.
 */
export function splitArray(
  bytes: Uint8Array,
  maxDepth: number = LIMITS.nesting,
  maxEvents: number = LIMITS.eventsPerBody,
): SplitResult {
  const end = bytes.length;
  const malformed = (offset: number, message: string, path = ''): ScanError =>
    toError(bytes, 0, { code: 'malformed_json', offset, message, path });
  let i = core.skipSpace(bytes, bomLength(bytes), end);
  if (bytes[i] !== 0x5b) return malformed(i, 'a JSON array should start here');
  i = core.skipSpace(bytes, i + 1, end);
  const elements: Element[] = [];
  if (bytes[i] === 0x5d) {
    i++;
  } else {
    for (;;) {
      const start = core.skipSpace(bytes, i, end);
      if (elements.length >= maxEvents) {
        return toError(bytes, 0, { code: 'too_many', offset: start, message: `more than ${maxEvents} events in one body; send several`, path: '' });
      }
      const problem = core.scanValue(bytes, start, end, maxDepth);
      if (problem?.code === 'malformed_json') return malformed(problem.offset, problem.message, `/${elements.length}${problem.path}`);
      const to = problem?.code === 'too_deep' ? core.skipBalanced(bytes, start, end) : core.scannedTo;
      if (to > end) return malformed(end, 'the text ends inside an element that also nests too deep');
      elements.push({ start, end: to, scan: verdict(bytes, start, to, problem) });
      i = core.skipSpace(bytes, to, end);
      if (i < end && bytes[i] === 0x2c) {
        i++;
        continue;
      }
      if (i < end && bytes[i] === 0x5d) {
        i++;
        break;
      }
      return malformed(i, i >= end ? 'the text ends before the array does' : 'a `,` or `]` should be here', `/${elements.length - 1}`);
    }
  }
  i = core.skipSpace(bytes, i, end);
  if (i < end) return malformed(i, 'more text follows behind the array; send one array, or NDJSON as application/x-ndjson');
  return { ok: true, elements };
}

export interface Line extends Range {
  /** Line number, from 1. */
  readonly line: number;
}

/**
 * The lines of an NDJSON body: ended by LF or CRLF, the last one with or without. Lines of nothing but white
 * space are left out but counted. A leading byte order mark is skipped. The lines themselves are not scanned.
 * Stops after `maxEvents` + 1 lines, so that a longer answer than `maxEvents` means too many.
 */
export function splitLines(bytes: Uint8Array, maxEvents: number = LIMITS.eventsPerBody): Line[] {
  const lines: Line[] = [];
  let start = bomLength(bytes);
  for (let line = 1; start < bytes.length && lines.length <= maxEvents; line++) {
    const feed = bytes.indexOf(0x0a, start);
    const next = feed === -1 ? bytes.length : feed;
    const end = next > start && bytes[next - 1] === 0x0d ? next - 1 : next;
    if (core.skipSpace(bytes, start, end) < end) lines.push({ start, end, line });
    start = next + 1;
  }
  return lines;
}

/**
 * Range of the value of the top-level member `name` in the object in `range`, which must have been scanned
 * without error; undefined when it is no object or has no such member.
 */
export function memberRange(bytes: Uint8Array, range: Range, name: string): Range | undefined {
  const { end } = range;
  let i = core.skipSpace(bytes, range.start, end);
  if (bytes[i] !== 0x7b) return undefined;
  i = core.skipSpace(bytes, i + 1, end);
  while (i < end && bytes[i] === 0x22) {
    const keyEnd = core.skipBalanced(bytes, i, end);
    const found = core.stringText(bytes, i + 1, keyEnd - 1) === name;
    const start = core.skipSpace(bytes, core.skipSpace(bytes, keyEnd, end) + 1, end);
    const to = core.skipBalanced(bytes, start, end);
    if (found) return { start, end: to };
    i = core.skipSpace(bytes, to, end);
    if (bytes[i] !== 0x2c) return undefined;
    i = core.skipSpace(bytes, i + 1, end);
  }
  return undefined;
}

/** Offset of the first byte that is not part of valid UTF-8 (RFC 3629). */
export function firstInvalidUtf8(bytes: Uint8Array): number {
  let i = 0;
  while (i < bytes.length) {
    const c = bytes[i] as number;
    const more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : -1;
    // At most four bytes at a time: overlong forms, surrogates and code points beyond U+10FFFF are isUtf8's to know.
    if (more < 0 || i + more >= bytes.length || (more > 0 && !isUtf8(bytes.subarray(i, i + more + 1)))) return i;
    i += more + 1;
  }
  return bytes.length;
}

/** A scan error in the form that an event's rejection carries. */
export function scanFieldError(error: ScanError): FieldError {
  return { path: error.path, code: error.code, message: `${error.message} (line ${error.line}, column ${error.column})` };
}

/**
 * The same JSON on one line, as NDJSON needs it. A raw line break can only stand between tokens (RFC 8259 section 7
 * forbids it inside of strings), so a space in its place changes no value.
 */
export function onOneLine(json: Buffer): Buffer {
  if (!json.includes(0x0a) && !json.includes(0x0d)) return json;
  return Buffer.from(json.map((byte) => (byte === 0x0a || byte === 0x0d ? 0x20 : byte)));
}
