/**
 * A JSON scanner over bytes (RFC 8259), one pass, no recursion, no values built. It runs before
 * `JSON.parse` and finds what `JSON.parse` cannot or should not: nesting that would exhaust a stack,
 * duplicate keys, which `JSON.parse` drops in silence, and where exactly malformed text goes wrong. It
 * accepts exactly the texts that `JSON.parse` accepts, nesting and duplicate keys apart.
 *
 * State lives in module variables: a scan is synchronous and never re-entered, and an event of 600 bytes
 * would spend a good part of its microsecond on allocating state of its own.
 */
import { pointer } from './errors.ts';

export type ScanErrorCode = 'malformed_json' | 'duplicate_key' | 'too_deep';

/** What stands in the way of a value, at a byte offset into the scanned buffer. */
export interface ScanProblem {
  readonly code: ScanErrorCode;
  readonly offset: number;
  readonly message: string;
  /** JSON Pointer of the value that was being read, or of the duplicate member. */
  readonly path: string;
}

/** Objects with more keys than this keep a Set; up to it, comparing with each earlier key is cheaper. */
const SMALL_OBJECT = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

/** 1 for the bytes that end a plain run inside a string: quote, backslash, control characters. */
const STOPS = new Uint8Array(256);
STOPS.fill(1, 0, 0x20);
STOPS[QUOTE] = 1;
STOPS[BACKSLASH] = 1;

/** 1 for JSON white space. */
const SPACE = new Uint8Array(256);
for (const c of [0x20, 0x09, 0x0a, 0x0d]) SPACE[c] = 1;

/** 1 for what may follow a backslash, 2 for `u`. */
const ESCAPES = new Uint8Array(256);
for (const c of '"\\/bfnrt') ESCAPES[c.charCodeAt(0)] = 1;
ESCAPES[0x75] = 2;

const HEX = new Uint8Array(256);
for (const c of '0123456789abcdefABCDEF') HEX[c.charCodeAt(0)] = 1;

/** After a scan: where the value ended. */
export let scannedTo = 0;
/** After a scan: a `\ud800` to `\udfff` escape was seen. */
export let sawSurrogate = false;
/** After a scan: bytes above 0x7f were seen inside strings. */
export let sawNonAscii = false;

let bytes: Uint8Array = new Uint8Array(0);
let limit = 0;
let depth = 0;
let highBits = 0;
let stringEscaped = false;
let problem: ScanProblem | undefined;
let duplicate: ScanProblem | undefined;

let capacity = 0;
let isArray = new Uint8Array(0);
let position = new Int32Array(0);
let keyFrom = new Int32Array(0);
let keyTo = new Int32Array(0);
let sets: (Set<string> | undefined)[] = [];
/** Where in the key stack the keys of the object at each depth begin. */
let base = new Int32Array(0);
/** Earlier keys of all open objects; those of one object lie side by side, as inner objects are gone by then. */
let stackFrom = new Int32Array(0);
let stackTo = new Int32Array(0);
let stackMark = new Int32Array(0);
let top = 0;

function reserve(maxDepth: number): void {
  capacity = maxDepth;
  isArray = new Uint8Array(maxDepth + 1);
  position = new Int32Array(maxDepth + 1);
  keyFrom = new Int32Array(maxDepth + 1);
  keyTo = new Int32Array(maxDepth + 1);
  base = new Int32Array(maxDepth + 1);
  sets = Array.from({ length: maxDepth + 1 }, () => undefined);
  const keys = (maxDepth + 1) * SMALL_OBJECT;
  stackFrom = new Int32Array(keys);
  stackTo = new Int32Array(keys);
  stackMark = new Int32Array(keys);
}

/** The text between two offsets that lie inside a string's quotes, unescaped. */
export function stringText(source: Uint8Array, from: number, to: number): string {
  const raw = Buffer.from(source.buffer, source.byteOffset + from, to - from).toString('utf8');
  if (!raw.includes('\\')) return raw;
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    return raw;
  }
}

function currentPath(): string {
  const path: (string | number)[] = [];
  for (let level = 1; level <= depth && level < isArray.length; level++) {
    if (isArray[level] === 1) path.push(position[level] as number);
    else if (keyFrom[level] !== -1) path.push(stringText(bytes, keyFrom[level] as number, keyTo[level] as number));
  }
  return pointer(path);
}

function fail(offset: number, message: string, code: ScanErrorCode = 'malformed_json'): number {
  problem = { code, offset, message, path: currentPath() };
  return -1;
}

function shown(c: number): string {
  return c > 0x20 && c < 0x7f ? `\`${String.fromCharCode(c)}\`` : `byte 0x${c.toString(16).padStart(2, '0')}`;
}

function unexpected(i: number, wanted: string): number {
  if (i >= limit) return fail(limit, `the text ends where ${wanted} should be`);
  return fail(i, `${shown(bytes[i] as number)} where ${wanted} should be`);
}

/** From behind the opening quote to behind the closing one; -1 after `fail`. */
function skipString(b: Uint8Array, from: number, end: number): number {
  let i = from;
  let high = 0;
  stringEscaped = false;
  for (;;) {
    let c = 0;
    while (i < end) {
      c = b[i] as number;
      if (STOPS[c] === 1) break;
      high |= c;
      i++;
    }
    if (i >= end) return fail(end, 'the text ends inside a string');
    if (c === QUOTE) {
      highBits |= high;
      return i + 1;
    }
    if (c !== BACKSLASH) return fail(i, `control character ${shown(c)} inside a string; escape it as \\u${c.toString(16).padStart(4, '0')}`);
    stringEscaped = true;
    const kind = i + 1 < end ? ESCAPES[b[i + 1] as number] : 0;
    if (kind === 1) {
      i += 2;
    } else if (kind === 2) {
      for (let k = i + 2; k < i + 6; k++) {
        if (k >= end) return fail(end, 'the text ends inside a string');
        if (HEX[b[k] as number] === 0) return fail(k, `${shown(b[k] as number)} in a \\u escape, which takes four hex digits`);
      }
      if (((b[i + 2] as number) | 0x20) === 0x64) {
        const next = b[i + 3] as number;
        if (next === 0x38 || next === 0x39 || next > 0x40) sawSurrogate = true;
      }
      i += 6;
    } else {
      return i + 1 >= end
        ? fail(end, 'the text ends inside a string')
        : fail(i + 1, `${shown(b[i + 1] as number)} after a backslash; JSON knows \\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX`);
    }
  }
}

function skipDigits(b: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end && (b[i] as number) >= 0x30 && (b[i] as number) <= 0x39) i++;
  return i;
}

function skipNumber(b: Uint8Array, from: number, end: number): number {
  let i = from;
  if (b[i] === 0x2d) i++;
  if (i < end && b[i] === 0x30) {
    i++;
  } else {
    const digits = skipDigits(b, i, end);
    if (digits === i) return unexpected(i, 'a digit');
    i = digits;
  }
  if (i < end && b[i] === 0x2e) {
    const digits = skipDigits(b, i + 1, end);
    if (digits === i + 1) return unexpected(digits, 'a digit of the fraction');
    i = digits;
  }
  if (i < end && ((b[i] as number) | 0x20) === 0x65) {
    i++;
    if (i < end && (b[i] === 0x2b || b[i] === 0x2d)) i++;
    const digits = skipDigits(b, i, end);
    if (digits === i) return unexpected(digits, 'a digit of the exponent');
    i = digits;
  }
  return i;
}

function skipWord(b: Uint8Array, from: number, end: number, word: string): number {
  for (let k = 0; k < word.length; k++) {
    if (from + k >= end || b[from + k] !== word.charCodeAt(k)) return unexpected(from + k, `the rest of \`${word}\``);
  }
  return from + word.length;
}

/** Remembers the key [from, to) of the object at `depth` and notes the first duplicate of the whole scan. */
function addKey(b: Uint8Array, from: number, to: number): void {
  keyFrom[depth] = from;
  keyTo[depth] = to;
  let set = sets[depth];
  const first = base[depth] as number;
  if (set === undefined) {
    if (!stringEscaped && top - first < SMALL_OBJECT) {
      const length = to - from;
      // Cheap and not collision-free on purpose: a match is only a reason to compare the bytes.
      const mark = length === 0 ? 0
        : (length << 24) ^ ((b[from] as number) << 16) ^ ((b[to - 1] as number) << 8) ^ (b[from + (length >> 1)] as number);
      for (let k = first; k < top; k++) {
        if (stackMark[k] === mark && sameBytes(b, stackFrom[k] as number, stackTo[k] as number, from, length)) {
          noteDuplicate(from);
          return;
        }
      }
      stackFrom[top] = from;
      stackTo[top] = to;
      stackMark[top] = mark;
      top++;
      return;
    }
    // Many keys, or one spelt with escapes: from here on this object's keys are compared as text.
    set = new Set();
    for (let k = first; k < top; k++) set.add(stringText(b, stackFrom[k] as number, stackTo[k] as number));
    sets[depth] = set;
  }
  const size = set.size;
  set.add(stringText(b, from, to));
  if (set.size === size) noteDuplicate(from);
}

function sameBytes(b: Uint8Array, from: number, to: number, other: number, length: number): boolean {
  if (to - from !== length) return false;
  for (let k = 0; k < length; k++) {
    if (b[from + k] !== b[other + k]) return false;
  }
  return true;
}

function noteDuplicate(from: number): void {
  duplicate ??= {
    code: 'duplicate_key',
    offset: from - 1,
    message: 'the same key occurs twice in one object; keep one, as readers disagree about which of them counts',
    path: currentPath(),
  };
}

/** From the opening quote of a key to behind its colon; -1 after `fail`. */
function skipKey(b: Uint8Array, at: number, end: number): number {
  if (at >= end || b[at] !== QUOTE) {
    keyFrom[depth] = -1;
    return unexpected(at, 'a key in double quotes');
  }
  let i = skipString(b, at + 1, end);
  if (i < 0) return -1;
  addKey(b, at + 1, i - 1);
  while (i < end && SPACE[b[i] as number] === 1) i++;
  if (i >= end || b[i] !== COLON) return unexpected(i, '`:`');
  return i + 1;
}

function close(): void {
  if (isArray[depth] === 0) {
    top = base[depth] as number;
    if (sets[depth] !== undefined) sets[depth] = undefined;
  }
  depth--;
}

/** Reads one value. Returns the offset behind it, or -1 with `problem` set. */
function value(b: Uint8Array, start: number, end: number, maxDepth: number): number {
  let i = start;
  for (;;) {
    while (i < end && SPACE[b[i] as number] === 1) i++;
    const c = i < end ? (b[i] as number) : 0;
    if (c === QUOTE) {
      i = skipString(b, i + 1, end);
    } else if (c === 0x7b || c === 0x5b) {
      if (depth >= maxDepth) {
        return fail(i, `objects and arrays nest deeper than ${maxDepth} levels`, 'too_deep');
      }
      depth++;
      i++;
      while (i < end && SPACE[b[i] as number] === 1) i++;
      if (c === 0x5b) {
        isArray[depth] = 1;
        position[depth] = 0;
        if (i >= end || b[i] !== 0x5d) continue;
      } else {
        isArray[depth] = 0;
        keyFrom[depth] = -1;
        base[depth] = top;
        if (i >= end || b[i] !== 0x7d) {
          i = skipKey(b, i, end);
          if (i < 0) return -1;
          continue;
        }
      }
      close();
      i++;
    } else if (c === 0x2d || (c >= 0x30 && c <= 0x39)) {
      i = skipNumber(b, i, end);
    } else if (c === 0x74) {
      i = skipWord(b, i, end, 'true');
    } else if (c === 0x66) {
      i = skipWord(b, i, end, 'false');
    } else if (c === 0x6e) {
      i = skipWord(b, i, end, 'null');
    } else {
      return unexpected(i, 'a value');
    }
    if (i < 0) return -1;

    // A value is complete: close what ends here, then go on with the next one.
    for (;;) {
      if (depth === 0) return i;
      while (i < end && SPACE[b[i] as number] === 1) i++;
      const next = i < end ? (b[i] as number) : 0;
      if (next === COMMA) {
        i++;
        if (isArray[depth] === 1) {
          position[depth] = (position[depth] as number) + 1;
          break;
        }
        while (i < end && SPACE[b[i] as number] === 1) i++;
        i = skipKey(b, i, end);
        if (i < 0) return -1;
        break;
      }
      if (next !== (isArray[depth] === 1 ? 0x5d : 0x7d)) return unexpected(i, isArray[depth] === 1 ? '`,` or `]`' : '`,` or `}`');
      close();
      i++;
    }
  }
}

/**
 * Scans one value that begins at or after `start`. Returns what is wrong, or undefined; `scannedTo`,
 * `sawSurrogate` and `sawNonAscii` then tell the rest. A malformed value wins over a duplicate key, so that
 * after `duplicate_key` the value is known to be whole and `scannedTo` is its end.
 */
export function scanValue(source: Uint8Array, start: number, end: number, maxDepth: number): ScanProblem | undefined {
  if (maxDepth > capacity) reserve(maxDepth);
  bytes = source;
  limit = end;
  depth = 0;
  top = 0;
  highBits = 0;
  sawSurrogate = false;
  problem = undefined;
  duplicate = undefined;
  const to = value(source, start, end, maxDepth);
  scannedTo = to;
  sawNonAscii = highBits > 0x7f;
  if (to < 0) sets.fill(undefined);
  return problem ?? duplicate;
}

/** First byte at or after `from` that is no JSON white space, or `end`. */
export function skipSpace(b: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end && SPACE[b[i] as number] === 1) i++;
  return i;
}

/**
 * Offset behind the value at `from`, found by balancing brackets and strings alone; `end` or beyond when it
 * does not close. For text that was scanned before, or that nests too deep to be.
 */
export function skipBalanced(b: Uint8Array, from: number, end: number): number {
  let i = from;
  let open = 0;
  while (i < end) {
    const c = b[i] as number;
    if (c === QUOTE) {
      i++;
      while (i < end && b[i] !== QUOTE) i += b[i] === BACKSLASH ? 2 : 1;
      if (i >= end) return end + 1;
      i++;
      if (open === 0) return i;
      continue;
    }
    if (open === 0 && (c === COMMA || c === 0x5d || c === 0x7d || SPACE[c] === 1)) return i;
    if (c === 0x7b || c === 0x5b) {
      open++;
    } else if (c === 0x7d || c === 0x5d) {
      open--;
      if (open === 0) return i + 1;
    }
    i++;
  }
  return open === 0 ? end : end + 1;
}
