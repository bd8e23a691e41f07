/**
 * What the tape reader needs to know of the event schema, compiled from the JSON Schema once. Nothing about an
 * event is written here: a keyword that is not understood is an error at start, never a rule left out.
 */
import type { JsonSchema } from './json-schema.ts';

export const OBJECT = 0;
export const STRING = 1;
export const ENUM = 2;
export const NUMBER = 3;
export const TIME = 4;
export const ADDRESS = 5;
export const ANYTHING = 6;
export const ANY_OBJECT = 7;
export const STRINGS = 8;
export const OBJECTS = 9;

/** One place in the schema. One shape for all kinds, so that the reader's accesses stay monomorphic. */
export interface Node {
  readonly kind: number;
  /** Number of this leaf in its frame; -1 for objects and for what is checked but not kept. */
  readonly leaf: number;
  /** STRING: bytes; STRINGS, OBJECTS: items; NUMBER: value. Both ends included. */
  readonly min: number;
  readonly max: number;
  /** NUMBER: whole numbers only. */
  readonly integer: boolean;
  /** STRING: 1 for every byte that may stand in it unescaped. */
  readonly allowed: Uint8Array;
  /** ENUM: the values. OBJECT: the keys. As bytes. */
  readonly names: readonly Uint8Array[];
  /** OBJECT: by key; OBJECTS, STRINGS: the element. */
  readonly children: readonly Node[];
  /** OBJECT: a bit for each key that must be there. */
  readonly required: number;
  /** OBJECT: which key followed each key the last time; a guess that is nearly always right. */
  readonly follower: Uint8Array;
  /** OBJECT at the root or in an array: leaves in its frame. */
  readonly leaves: number;
}

/** Where the leaves of one frame are: the event's own, or those of one element of an array. */
export class Layout {
  readonly #leaves = new Map<string, number>();
  readonly #elements = new Map<string, Layout>();
  root: Node | undefined;

  /** @param path JSON Pointer below the frame, such as `/agent/id` @throws Error where the schema has no such leaf */
  leaf(path: string): number {
    const leaf = this.#leaves.get(path);
    if (leaf === undefined) throw new Error(`the event schema has no leaf ${path}`);
    return leaf;
  }

  /** The layout of the elements of an array of objects. */
  elements(path: string): Layout {
    const layout = this.#elements.get(path);
    if (layout === undefined) throw new Error(`the event schema has no list of objects ${path}`);
    return layout;
  }

  get size(): number {
    return this.#leaves.size;
  }

  /** @internal */
  add(path: string): number {
    const leaf = this.#leaves.size;
    this.#leaves.set(path, leaf);
    return leaf;
  }

  /** @internal */
  addElements(path: string, layout: Layout): void {
    this.#elements.set(path, layout);
  }
}

const NOTES = new Set(['$schema', '$id', 'title', 'description', 'examples', 'default']);
/** Kinds of places, by the keywords that they may have beside `NOTES`. */
const KEYWORDS: Readonly<Record<number, readonly string[]>> = {
  [OBJECT]: ['type', 'properties', 'required', 'additionalProperties', 'allOf'],
  [STRING]: ['type', 'minLength', 'maxLength', 'pattern'],
  [ENUM]: ['type', 'enum'],
  [NUMBER]: ['type', 'minimum', 'maximum'],
  [TIME]: ['type', 'format'],
  [ADDRESS]: ['type', 'anyOf'],
  [ANYTHING]: [],
  [ANY_OBJECT]: ['type', 'properties', 'additionalProperties'],
  [STRINGS]: ['type', 'items', 'maxItems'],
  [OBJECTS]: ['type', 'items', 'maxItems'],
};

const BLANK: Node = {
  kind: ANYTHING, leaf: -1, min: 0, max: Infinity, integer: false, allowed: new Uint8Array(256), names: [], children: [], required: 0,
  follower: new Uint8Array(0), leaves: 0,
};

/** @throws Error naming the place and keyword that the reader does not know */
export function compileLayout(schema: JsonSchema): Layout {
  const layout = new Layout();
  layout.root = { ...compile(schema, '', layout), leaves: layout.size };
  return layout;
}

function compile(schema: JsonSchema, path: string, layout: Layout): Node {
  const kind = kindOf(schema, path);
  for (const keyword of Object.keys(schema)) {
    if (!NOTES.has(keyword) && !KEYWORDS[kind]?.includes(keyword)) throw new Error(`the tape reader does not know \`${keyword}\` at ${path || 'the event'}`);
  }
  const number = (keyword: string, otherwise: number): number => (schema[keyword] as number | undefined) ?? otherwise;
  switch (kind) {
    case OBJECT: {
      const properties = Object.entries(schema['properties'] as Record<string, JsonSchema>);
      const required = (schema['required'] as string[] | undefined) ?? [];
      if (properties.length > 31) throw new Error(`the tape reader takes at most 31 keys, ${path || 'the event'} has ${properties.length}`);
      return {
        ...BLANK, kind,
        names: properties.map(([name]) => Buffer.from(name)),
        children: properties.map(([name, child]) => compile(child, `${path}/${name}`, layout)),
        required: properties.reduce((bits, [name], i) => (required.includes(name) ? bits | (1 << i) : bits), 0),
        follower: new Uint8Array(properties.length + 1),
      };
    }
    case STRING:
      return { ...BLANK, kind, leaf: layout.add(path), min: number('minLength', 0), max: number('maxLength', Infinity), allowed: allowedBytes(schema['pattern'] as string | undefined, path) };
    case ENUM:
      return { ...BLANK, kind, leaf: layout.add(path), names: (schema['enum'] as string[]).map((name) => Buffer.from(name)) };
    case NUMBER:
      return { ...BLANK, kind, leaf: layout.add(path), min: number('minimum', -Infinity), max: number('maximum', Infinity), integer: schema['type'] === 'integer' };
    case STRINGS: {
      const leaf = layout.add(path);
      // Its elements are kept in the list of the array, not in a leaf of their own.
      const element = { ...compile(schema['items'] as JsonSchema, `${path}/*`, new Layout()), leaf: -1 };
      return { ...BLANK, kind, leaf, max: number('maxItems', Infinity), children: [element] };
    }
    case OBJECTS: {
      const leaf = layout.add(path);
      const elements = new Layout();
      const element = { ...compile(schema['items'] as JsonSchema, '', elements), leaves: elements.size };
      layout.addElements(path, elements);
      return { ...BLANK, kind, leaf, max: number('maxItems', Infinity), children: [element] };
    }
    case ANYTHING:
    case ANY_OBJECT:
      return { ...BLANK, kind };
    default:
      return { ...BLANK, kind, leaf: layout.add(path) };
  }
}

function kindOf(schema: JsonSchema, path: string): number {
  const { type } = schema as { type?: string };
  if (type === undefined) return ANYTHING;
  if (type === 'object') return schema['additionalProperties'] === false ? OBJECT : ANY_OBJECT;
  if (type === 'array') return (schema['items'] as JsonSchema)['type'] === 'object' ? OBJECTS : STRINGS;
  if (type === 'integer' || type === 'number') return NUMBER;
  if (type !== 'string') throw new Error(`the tape reader does not know the type \`${type}\` at ${path}`);
  if ('enum' in schema) return ENUM;
  if ('format' in schema) {
    if (schema['format'] !== 'date-time') throw new Error(`the tape reader does not know the format \`${String(schema['format'])}\` at ${path}`);
    return TIME;
  }
  if ('anyOf' in schema) {
    if (JSON.stringify(schema['anyOf']) !== '[{"format":"ipv4"},{"format":"ipv6"}]') throw new Error(`the tape reader does not know this \`anyOf\` at ${path}`);
    return ADDRESS;
  }
  return STRING;
}

/** Patterns of the form `^[...]*$` say which characters may stand in a string; no other form is known. */
function allowedBytes(pattern: string | undefined, path: string): Uint8Array {
  if (pattern !== undefined && !/^\^\[(?:[^\]\\]|\\.)+\]\*\$$/.test(pattern)) throw new Error(`the tape reader does not know the pattern ${pattern} at ${path}`);
  const test = pattern === undefined ? /^/u : new RegExp(pattern, 'u');
  const allowed = new Uint8Array(256);
  // Anything but printable ASCII, and the two that JSON gives a meaning, is left to the slow way.
  for (let byte = 0x20; byte < 0x80; byte++) allowed[byte] = byte !== 0x22 && byte !== 0x5c && test.test(String.fromCharCode(byte)) ? 1 : 0;
  return allowed;
}
