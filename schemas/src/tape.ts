/**
 * Events as a tape: for each leaf of the schema, where in the event's bytes its value is. Reading an event this
 * way checks it and finds its values in one pass, and builds nothing that has to be collected again; for an event
 * that is to be stored in columns, parsed objects would only be taken apart again.
 *
 * The reader takes the plain form that nearly every event has. Whatever else it meets, right or wrong (an escape or a
 * letter beyond ASCII in a typed string, a number with an exponent, an unknown key), it leaves to `readEvent`,
 * which decides. So it may refuse what is right, but must never accept what is wrong: a property test holds it to that.
 */
import { isUtf8 } from 'node:buffer';
import { isAddress, type AuditEvent } from './event.ts';
import { eventJsonSchema } from './json-schema.ts';
import { LIMITS } from './limits.ts';
import { readEvent, type ReadLimits, type ReadResult } from './read.ts';
import * as core from './scan-core.ts';
import { ADDRESS, ANY_OBJECT, ANYTHING, compileLayout, ENUM, NUMBER, OBJECT, OBJECTS, STRING, STRINGS, TIME, type Layout, type Node } from './tape-layout.ts';
import { parseTime } from './time.ts';

let compiled: Layout | undefined;

/** Where the leaves of an event are on a tape. */
export function eventLayout(): Layout {
  return (compiled ??= compileLayout(eventJsonSchema()));
}

/**
 * Checked events, one after the other, and where their values are. Reused from body to body.
 *
 * Leaf `l` of the frame at `f` has two integers, `ints[2 * (f + l)]` (called a) and the one behind it (b), and a
 * number, `floats[f + l]`:
 *
 * | leaf | a, b, number |
 * |---|---|
 * | string, address | from and to: bytes of `source(event)`; both 0 where it is absent |
 * | enum | a: place in the list from 1; 0 where it is absent |
 * | number | a: 1 where it is there; the number |
 * | time | a: nanoseconds; the number: seconds since the Unix epoch |
 * | list of strings | a: first place in `lists` (two integers each, from and to); b: how many |
 * | list of objects | a: frame of the first; b: how many; their frames lie side by side |
 */
export class EventTape {
  ints = new Int32Array(1 << 14);
  floats = new Float64Array(1 << 13);
  lists = new Int32Array(1 << 8);
  #leaves = 0;
  #listed = 0;
  #count = 0;
  readonly #raw: Uint8Array[] = [];
  readonly #rawFrom: number[] = [];
  readonly #rawTo: number[] = [];
  readonly #frames: number[] = [];
  readonly #sources: Uint8Array[] = [];

  /** Events on the tape. */
  get count(): number {
    return this.#count;
  }

  /** The frame of an event. @param event 0 … count - 1 */
  frame(event: number): number {
    return this.#frames[event] as number;
  }

  /** The bytes that an event's strings are found in: the body's, or where they were escaped, a copy of their own. */
  source(event: number): Uint8Array {
    return this.#sources[event] as Uint8Array;
  }

  /** The event's bytes as they were received. */
  raw(event: number): Uint8Array {
    return (this.#raw[event] as Uint8Array).subarray(this.#rawFrom[event], this.#rawTo[event]);
  }

  rawBytes(event: number): number {
    return (this.#rawTo[event] as number) - (this.#rawFrom[event] as number);
  }

  /** Takes all events off. */
  clear(): void {
    this.#rewind(0);
    this.#listed = 0;
    this.#count = 0;
    this.#raw.length = 0;
    this.#rawFrom.length = 0;
    this.#rawTo.length = 0;
    this.#frames.length = 0;
    this.#sources.length = 0;
  }

  /**
   * Reads the one event in [start, end) of `bytes` onto the tape; no white space around it. Never throws, whatever
   * the bytes.
   *
   * @returns undefined when it was accepted, else what is wrong with it
   */
  take(bytes: Uint8Array, start = 0, end = bytes.length, limits: ReadLimits = LIMITS): (ReadResult & { ok: false }) | undefined {
    if (end - start <= limits.eventBytes) {
      const frame = this.#leaves;
      const listed = this.#listed;
      if (this.#read(bytes, start, end, limits.nesting)) {
        this.#push(frame, bytes, bytes, start, end);
        return undefined;
      }
      this.#rewind(frame);
      this.#listed = listed;
    }
    const result = readEvent(bytes, start, end, limits);
    if (!result.ok) return result;
    this.#write(result.event, bytes, start, end);
    return undefined;
  }

  #push(frame: number, source: Uint8Array, raw: Uint8Array, rawFrom: number, rawTo: number): void {
    this.#frames.push(frame);
    this.#sources.push(source);
    this.#raw.push(raw);
    this.#rawFrom.push(rawFrom);
    this.#rawTo.push(rawTo);
    this.#count++;
  }

  /** Gives back the frames from `leaves` on. What is not in use is all zeros: once for all costs less than frame by frame. */
  #rewind(leaves: number): void {
    this.ints.fill(0, leaves * 2, this.#leaves * 2);
    this.#leaves = leaves;
  }

  /** Room for a frame of `leaves`, all absent. */
  #allot(leaves: number): number {
    const frame = this.#leaves;
    this.#leaves += leaves;
    if (this.#leaves > this.floats.length) {
      const ints = new Int32Array(this.#leaves * 4);
      ints.set(this.ints);
      this.ints = ints;
      const floats = new Float64Array(this.#leaves * 2);
      floats.set(this.floats);
      this.floats = floats;
    }
    return frame;
  }

  #list(from: number, to: number): void {
    if (this.#listed * 2 === this.lists.length) {
      const lists = new Int32Array(this.lists.length * 2);
      lists.set(this.lists);
      this.lists = lists;
    }
    this.lists[this.#listed * 2] = from;
    this.lists[this.#listed * 2 + 1] = to;
    this.#listed++;
  }

  /** True when the bytes are an event for certain; then its frame is on the tape. */
  #read(bytes: Uint8Array, start: number, end: number, nesting: number): boolean {
    const root = eventLayout().root as Node;
    if (bytes[start] !== 0x7b || nesting < ENVELOPE_DEPTH) return false;
    sawNonAscii = false;
    const frame = this.#allot(root.leaves);
    if (this.#readObject(root, bytes, start, end, frame, nesting - 1) !== end) return false;
    if (!this.#isPaired(frame)) return false;
    return !sawNonAscii || isUtf8(bytes.subarray(start, end));
  }

  /** `kind` and what it asks for; see `kindIssues`. */
  #isPaired(frame: number): boolean {
    const { kind, tool, resources } = pairing();
    return this.ints[2 * (frame + kind)] === 1 ? (this.ints[2 * (frame + tool) + 1] as number) > 0 : (this.ints[2 * (frame + resources) + 1] as number) > 0;
  }

  /** From the opening brace to behind the closing one; -1 where it is not certain. `depth` is how many levels may still open. */
  #readObject(node: Node, b: Uint8Array, at: number, end: number, frame: number, depth: number): number {
    let i = space(b, at + 1);
    let seen = 0;
    let key = node.names.length;
    if (b[i] !== 0x7d) {
      for (;;) {
        if (b[i] !== 0x22) return -1;
        const next = keyAt(node, b, i + 1, key);
        if (next < 0) return -1;
        const bit = 1 << next;
        if ((seen & bit) !== 0) return -1;
        seen |= bit;
        key = next;
        i += (node.names[key] as Uint8Array).length + 2;
        if (b[i] !== 0x3a) {
          i = space(b, i);
          if (b[i] !== 0x3a) return -1;
        }
        i = this.#readValue(node.children[key] as Node, b, space(b, i + 1), end, frame, depth);
        if (i < 0) return -1;
        i = space(b, i);
        if (b[i] === 0x2c) {
          i = space(b, i + 1);
          continue;
        }
        if (b[i] !== 0x7d) return -1;
        break;
      }
    }
    return (seen & node.required) === node.required && i < end ? i + 1 : -1;
  }

  #readValue(node: Node, b: Uint8Array, i: number, end: number, frame: number, depth: number): number {
    const at = 2 * (frame + node.leaf);
    switch (node.kind) {
      case STRING: {
        const to = stringEnd(b, i, node.allowed);
        if (to < 0 || to - i - 1 < node.min || to - i - 1 > node.max) return -1;
        this.ints[at] = i + 1;
        this.ints[at + 1] = to;
        return to + 1;
      }
      case ENUM: {
        const to = stringEnd(b, i, PRINTABLE);
        const place = to < 0 ? -1 : nameAt(node.names, b, i + 1, to - i - 1);
        if (place < 0) return -1;
        this.ints[at] = place + 1;
        return to + 1;
      }
      case NUMBER: {
        const to = number(b, i, node.integer);
        if (to < 0 || numberRead < node.min || numberRead > node.max) return -1;
        this.ints[at] = 1;
        this.floats[frame + node.leaf] = numberRead;
        return to;
      }
      case OBJECT:
        return b[i] === 0x7b ? this.#readObject(node, b, i, end, frame, depth - 1) : -1;
      case ANY_OBJECT:
        return b[i] === 0x7b ? anything(b, i, end, depth) : -1;
      case ANYTHING:
        return anything(b, i, end, depth);
      case TIME: {
        const to = stringEnd(b, i, PRINTABLE);
        if (to < 0 || to - i > TIME_LENGTH_MAX) return -1;
        const time = parseTime(latin1(b, i + 1, to));
        if (!time.ok) return -1;
        this.ints[at] = time.nanos;
        this.floats[frame + node.leaf] = time.seconds;
        return to + 1;
      }
      case ADDRESS: {
        const to = stringEnd(b, i, PRINTABLE);
        if (to < 0 || !isAddress(latin1(b, i + 1, to))) return -1;
        this.ints[at] = i + 1;
        this.ints[at + 1] = to;
        return to + 1;
      }
      case STRINGS:
      case OBJECTS:
        return b[i] === 0x5b ? this.#readArray(node, b, i, end, at, depth - 1) : -1;
      default:
        return -1;
    }
  }

  #readArray(node: Node, b: Uint8Array, from: number, end: number, at: number, depth: number): number {
    const element = node.children[0] as Node;
    const first = node.kind === STRINGS ? this.#listed : this.#leaves;
    let count = 0;
    let i = space(b, from + 1);
    if (b[i] !== 0x5d) {
      for (;;) {
        if (++count > node.max) return -1;
        if (node.kind === STRINGS) {
          const to = stringEnd(b, i, element.allowed);
          if (to < 0 || to - i - 1 < element.min || to - i - 1 > element.max) return -1;
          this.#list(i + 1, to);
          i = to + 1;
        } else {
          if (b[i] !== 0x7b) return -1;
          i = this.#readObject(element, b, i, end, this.#allot(element.leaves), depth - 1);
          if (i < 0) return -1;
        }
        i = space(b, i);
        if (b[i] === 0x2c) {
          i = space(b, i + 1);
          continue;
        }
        if (b[i] !== 0x5d) return -1;
        break;
      }
    }
    this.ints[at] = first;
    this.ints[at + 1] = count;
    return i + 1;
  }

  /** Puts an event on the tape that is known to be right; its strings go into a source of their own. */
  #write(event: AuditEvent, raw: Uint8Array, rawFrom: number, rawTo: number): void {
    const root = eventLayout().root as Node;
    const frame = this.#allot(root.leaves);
    const strings: string[] = [];
    const written = { strings, length: 0 };
    this.#writeObject(root, event as Record<string, unknown>, frame, written);
    this.#push(frame, Buffer.from(strings.join('')), raw, rawFrom, rawTo);
  }

  #writeObject(node: Node, value: Record<string, unknown>, frame: number, to: Written): void {
    node.names.forEach((name, i) => {
      const key = latin1(name, 0, name.length);
      if (Object.hasOwn(value, key)) this.#writeValue(node.children[i] as Node, value[key], frame, to);
    });
  }

  #writeValue(node: Node, value: unknown, frame: number, to: Written): void {
    const leaf = frame + node.leaf;
    switch (node.kind) {
      case STRING:
      case ADDRESS: {
        const from = to.length;
        this.ints[2 * leaf] = from;
        this.ints[2 * leaf + 1] = append(to, value as string);
        return;
      }
      case ENUM:
        this.ints[2 * leaf] = 1 + node.names.findIndex((name) => latin1(name, 0, name.length) === value);
        return;
      case NUMBER:
        this.ints[2 * leaf] = 1;
        this.floats[leaf] = value as number;
        return;
      case TIME: {
        const time = parseTime(value as string);
        if (!time.ok) throw new RangeError(time.message);
        this.ints[2 * leaf] = time.nanos;
        this.floats[leaf] = time.seconds;
        return;
      }
      case OBJECT:
        this.#writeObject(node, value as Record<string, unknown>, frame, to);
        return;
      case STRINGS: {
        this.ints[2 * leaf] = this.#listed;
        this.ints[2 * leaf + 1] = (value as string[]).length;
        for (const text of value as string[]) {
          const from = to.length;
          this.#list(from, append(to, text));
        }
        return;
      }
      case OBJECTS: {
        const element = node.children[0] as Node;
        const items = value as Record<string, unknown>[];
        const frames = items.map(() => this.#allot(element.leaves));
        this.ints[2 * leaf] = frames[0] ?? 0;
        this.ints[2 * leaf + 1] = items.length;
        items.forEach((item, i) => this.#writeObject(element, item, frames[i] as number, to));
        return;
      }
      default:
    }
  }
}

interface Written {
  readonly strings: string[];
  /** UTF-8 bytes of them all. */
  length: number;
}

/** @returns where the text ends */
function append(to: Written, text: string): number {
  to.strings.push(text);
  to.length += Buffer.byteLength(text);
  return to.length;
}

/** Levels that the typed part of an event can open: event, list, element, list. */
const ENVELOPE_DEPTH = 4;
/** The longest form: date, time, nine digits of a fraction, offset; and its opening quote. */
const TIME_LENGTH_MAX = 36;

const PRINTABLE = new Uint8Array(256);
for (let byte = 0x20; byte < 0x7f; byte++) PRINTABLE[byte] = byte === 0x22 || byte === 0x5c ? 0 : 1;

let paired: { readonly kind: number; readonly tool: number; readonly resources: number } | undefined;

function pairing(): NonNullable<typeof paired> {
  const layout = eventLayout();
  return (paired ??= { kind: layout.leaf('/kind'), tool: layout.leaf('/tool/name'), resources: layout.leaf('/resources') });
}

/** Set by `anything`: bytes beyond ASCII were passed. */
let sawNonAscii = false;
/** Set by `number`. */
let numberRead = 0;

// Reading behind the end gives undefined, which is no byte that any of these accept; and what they read behind
// `end` inside a larger body cannot complete an event, since every event must close exactly at its end.

function space(b: Uint8Array, from: number): number {
  let i = from;
  let c = b[i];
  while (c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09) c = b[++i];
  return i;
}

/** From the opening quote to the closing one; -1 where something else than `allowed` comes first. */
function stringEnd(b: Uint8Array, at: number, allowed: Uint8Array): number {
  if (b[at] !== 0x22) return -1;
  let i = at + 1;
  while (allowed[b[i] as number] === 1) i++;
  return b[i] === 0x22 ? i : -1;
}

function isNameAt(name: Uint8Array, b: Uint8Array, at: number): boolean {
  const { length } = name;
  for (let i = 0; i < length; i++) if (b[at + i] !== name[i]) return false;
  return true;
}

/** The key of an object that stands at `at`, behind its quote; -1 for any other. */
function keyAt(node: Node, b: Uint8Array, at: number, before: number): number {
  const guess = node.follower[before] as number;
  const guessed = node.names[guess] as Uint8Array;
  if (b[at + guessed.length] === 0x22 && isNameAt(guessed, b, at)) return guess;
  for (let key = 0; key < node.names.length; key++) {
    const name = node.names[key] as Uint8Array;
    if (b[at + name.length] === 0x22 && isNameAt(name, b, at)) {
      node.follower[before] = key;
      return key;
    }
  }
  return -1;
}

function nameAt(names: readonly Uint8Array[], b: Uint8Array, at: number, length: number): number {
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as Uint8Array;
    if (name.length === length && isNameAt(name, b, at)) return i;
  }
  return -1;
}

/**
 * A number of at most 15 digits without sign or exponent, which a double holds exactly, as is its quotient by a power
 * of ten up to 10^22 rounded right. Returns the offset behind it, or -1; `numberRead` is its value.
 */
function number(b: Uint8Array, at: number, integer: boolean): number {
  let i = at;
  let value = 0;
  let c = b[i] as number;
  while (c >= 0x30 && c <= 0x39) {
    value = value * 10 + (c - 0x30);
    c = b[++i] as number;
  }
  let digits = i - at;
  if (digits === 0 || (digits > 1 && b[at] === 0x30)) return -1;
  let fraction = 0;
  if (c === 0x2e && !integer) {
    const point = i;
    c = b[++i] as number;
    while (c >= 0x30 && c <= 0x39) {
      value = value * 10 + (c - 0x30);
      c = b[++i] as number;
    }
    fraction = i - point - 1;
    if (fraction === 0) return -1;
    digits += fraction;
  }
  if (digits > 15 || c === 0x2e || c === 0x65 || c === 0x45) return -1;
  numberRead = fraction === 0 ? value : value / 10 ** fraction;
  return i;
}

function anything(b: Uint8Array, at: number, end: number, depth: number): number {
  // Most are short strings; the scanner's start costs more than reading one.
  const to = stringEnd(b, at, PRINTABLE);
  if (to >= 0) return to + 1;
  if (core.scanValue(b, at, end, depth) !== undefined) return -1;
  if (core.sawNonAscii) sawNonAscii = true;
  return core.scannedTo;
}

function latin1(b: Uint8Array, from: number, to: number): string {
  return Buffer.isBuffer(b) ? b.toString('latin1', from, to) : Buffer.from(b.buffer, b.byteOffset + from, to - from).toString('latin1');
}
