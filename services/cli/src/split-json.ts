/** JSON values that stand one behind another, as `zcat *.json.gz` or an indented file gives them. */
import { memberRange, scanEvent, splitArray, type Range } from '@agent-audit/schemas';

const NESTING_MAX = 4096;

export type Split = { readonly ok: true; readonly ranges: readonly Range[] } | { readonly ok: false; readonly line: number; readonly message: string };

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;

/** Offset behind the value that begins at `start`, told by brackets and quotes alone; undefined when the text ends inside. */
export function valueEnd(bytes: Uint8Array, start: number): number | undefined {
  let depth = 0;
  for (let i = start; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    if (byte === 0x22) {
      for (i++; i < bytes.length && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5c) i++;
      if (i >= bytes.length) return undefined;
    } else if (byte === 0x7b || byte === 0x5b) depth++;
    else if (byte === 0x7d || byte === 0x5d) depth--;
    // A number or word ends where something else begins.
    const next = bytes[i + 1];
    if (depth <= 0 && (byte === 0x22 || byte === 0x7d || byte === 0x5d || next === undefined || isSpace(next) || next === 0x7b || next === 0x5b)) return i + 1;
  }
  return undefined;
}

/**
 * The records in one or more JSON values: the elements of an array, those of the member `wrapper` (CloudTrail's
 * `Records`) of an object, else the value itself.
 */
export function splitRecords(bytes: Uint8Array, wrapper: string | undefined): Split {
  const ranges: Range[] = [];
  let i = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  for (;;) {
    while (isSpace(bytes[i])) i++;
    if (i >= bytes.length) return { ok: true, ranges };
    const end = valueEnd(bytes, i);
    // Doubled keys or depth are a fault of one record, for the server to name; broken text is one of the file.
    const scan = scanEvent(bytes, i, end ?? bytes.length, NESTING_MAX);
    if (end === undefined || (!scan.ok && scan.code === 'malformed_json')) {
      return { ok: false, line: lineAt(bytes, scan.ok ? i : scan.offset), message: scan.ok ? 'the text ends too early' : scan.message };
    }
    ranges.push(...unwrap(bytes, { start: i, end }, wrapper));
    i = end;
  }
}

function unwrap(bytes: Uint8Array, range: Range, wrapper: string | undefined): Range[] {
  const list = bytes[range.start] === 0x5b ? range : wrapper === undefined ? undefined : memberRange(bytes, range, wrapper);
  if (list === undefined || bytes[list.start] !== 0x5b) return [range];
  const split = splitArray(bytes.subarray(list.start, list.end), NESTING_MAX, Number.MAX_SAFE_INTEGER);
  return split.ok ? split.elements.map(({ start, end }) => ({ start: list.start + start, end: list.start + end })) : [range];
}

function lineAt(bytes: Uint8Array, offset: number): number {
  let line = 1;
  for (let i = bytes.indexOf(0x0a); i !== -1 && i < offset; i = bytes.indexOf(0x0a, i + 1)) line++;
  return line;
}
