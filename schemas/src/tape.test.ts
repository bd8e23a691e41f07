import * as fc from 'fast-check';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ACTIONS, EFFECTS, KINDS, OUTCOMES, PRINCIPAL_TYPES, VANTAGES, type AuditEvent } from './event.ts';
import { LIMITS } from './limits.ts';
import { readEvent } from './read.ts';
import { EventTape, eventLayout } from './tape.ts';
import { compileLayout, type Layout } from './tape-layout.ts';
import { parseTime } from './time.ts';

const STRINGS = [
  '/event_id', '/agent/id', '/agent/name', '/agent/version', '/agent/instance_id', '/agent/parent_agent_id', '/agent/model/provider', '/agent/model/id',
  '/session_id', '/trace_id', '/span_id', '/parent_span_id', '/tool/name', '/tool/server', '/tool/call_id', '/tool/definition_hash', '/outcome/code',
  '/outcome/message', '/decision/policy_id', '/decision/policy_version', '/decision/reason', '/network/destination_host', '/network/destination_ip',
  '/network/protocol', '/source/emitter',
];
const ENUMS: Readonly<Record<string, readonly string[]>> = { '/kind': KINDS, '/action': ACTIONS, '/outcome/status': OUTCOMES, '/decision/effect': EFFECTS, '/source/vantage': VANTAGES };
const NUMBERS = ['/network/destination_port', '/network/bytes_out', '/network/bytes_in', '/duration_ms', '/source/sequence'];
const LINK = { strings: ['/id', '/delegation_id', '/parent_delegation_id'], enums: { '/type': PRINCIPAL_TYPES }, numbers: [], lists: ['/scopes'] };
const RESOURCE = { strings: ['/uri', '/type', '/name'], enums: {}, numbers: ['/records', '/bytes'], lists: ['/classifications'] };

interface Leaves {
  readonly strings: readonly string[];
  readonly enums: Readonly<Record<string, readonly string[]>>;
  readonly numbers: readonly string[];
  readonly lists: readonly string[];
}

function at(value: unknown, path: string): unknown {
  return path.split('/').slice(1).reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}

/** What a frame holds, by path. */
function frameValues(tape: EventTape, source: Uint8Array, layout: Layout, frame: number, leaves: Leaves): Record<string, unknown> {
  const text = (from: number | undefined, to: number | undefined): string => Buffer.from(source.subarray(from, to)).toString('utf8');
  const out: Record<string, unknown> = {};
  for (const path of leaves.strings) {
    const i = 2 * (frame + layout.leaf(path));
    out[path] = text(tape.ints[i], tape.ints[i + 1]);
  }
  for (const [path, names] of Object.entries(leaves.enums)) out[path] = names[(tape.ints[2 * (frame + layout.leaf(path))] as number) - 1];
  for (const path of leaves.numbers) out[path] = tape.ints[2 * (frame + layout.leaf(path))] === 1 ? tape.floats[frame + layout.leaf(path)] : undefined;
  for (const path of leaves.lists) {
    const i = 2 * (frame + layout.leaf(path));
    out[path] = Array.from({ length: tape.ints[i + 1] as number }, (_, k) => text(tape.lists[2 * ((tape.ints[i] as number) + k)], tape.lists[2 * ((tape.ints[i] as number) + k) + 1]));
  }
  return out;
}

function tapeValues(tape: EventTape, event: number): unknown {
  const layout = eventLayout();
  const frame = tape.frame(event);
  const source = tape.source(event);
  const elements = (path: string, leaves: Leaves): unknown[] => {
    const inner = layout.elements(path);
    const i = 2 * (frame + layout.leaf(path));
    return Array.from({ length: tape.ints[i + 1] as number }, (_, k) => frameValues(tape, source, inner, (tape.ints[i] as number) + k * inner.size, leaves));
  };
  const time = layout.leaf('/time');
  return {
    ...frameValues(tape, source, layout, frame, { strings: STRINGS, enums: ENUMS, numbers: NUMBERS, lists: [] }),
    time: [tape.floats[frame + time], tape.ints[2 * (frame + time)]],
    links: elements('/on_behalf_of', LINK),
    resources: elements('/resources', RESOURCE),
  };
}

/** The same, taken from the parsed event. */
function eventValues(event: AuditEvent): unknown {
  const values = (value: unknown, leaves: Leaves): Record<string, unknown> => ({
    ...Object.fromEntries(leaves.strings.map((path) => [path, at(value, path) ?? ''])),
    ...Object.fromEntries([...Object.keys(leaves.enums), ...leaves.numbers].map((path) => [path, at(value, path)])),
    ...Object.fromEntries(leaves.lists.map((path) => [path, at(value, path) ?? []])),
  });
  const time = parseTime(event.time);
  return {
    ...values(event, { strings: STRINGS, enums: ENUMS, numbers: NUMBERS, lists: [] }),
    time: time.ok ? [time.seconds, time.nanos] : [],
    links: (event.on_behalf_of ?? []).map((link) => values(link, LINK)),
    resources: (event.resources ?? []).map((resource) => values(resource, RESOURCE)),
  };
}

const tape = new EventTape();

/** Takes the text in the middle of a larger buffer, as an element of a body, and compares with `readEvent`. */
function agree(text: Buffer, tail = ' }"'): 'quick' | 'slow' | 'refused' {
  const body = Buffer.concat([Buffer.from('\n"{'), text, Buffer.from(tail)]);
  const from = 3;
  const to = from + text.length;
  const expected = readEvent(body, from, to);
  const before = tape.count;
  const refused = tape.take(body, from, to);
  expect(refused === undefined).toBe(expected.ok);
  if (!expected.ok) {
    expect(refused?.errors).toEqual(expected.errors);
    expect(tape.count).toBe(before);
    return 'refused';
  }
  expect(tape.count).toBe(before + 1);
  expect(tapeValues(tape, before)).toEqual(eventValues(expected.event));
  expect(Buffer.from(tape.raw(before)).equals(text)).toBe(true);
  return tape.source(before) === body ? 'quick' : 'slow';
}

const label = fc.stringMatching(/^[ !#-[\]-~]{1,30}$/);
const count = fc.oneof(fc.nat(), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
const anyJson = fc.jsonValue({ maxDepth: 4 });
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

const resource = fc.record(
  { uri: label, type: label, name: label, classifications: fc.array(label, { maxLength: 3 }), records: count, bytes: count },
  { requiredKeys: ['uri', 'type'] },
);
const event = fc.record({
  event_id: fc.stringMatching(/^[A-Za-z0-9._:-]{1,40}$/),
  time: fc.constantFrom('2026-11-22T14:33:07Z', '2026-11-22T14:33:07.123456789+05:30', '1900-01-01T00:00:00Z', '1969-12-31T23:59:59.5Z'),
  kind: fc.constantFrom(...KINDS),
  agent: fc.record({ id: label, name: label, model: fc.record({ id: label, provider: label }, { requiredKeys: ['id'] }) }, { requiredKeys: ['id'] }),
  session_id: optional(label),
  trace_id: optional(label),
  on_behalf_of: optional(fc.array(fc.record(
    { type: fc.constantFrom(...PRINCIPAL_TYPES), id: label, delegation_id: label, scopes: fc.array(label, { maxLength: 3 }) }, { requiredKeys: ['type', 'id'] },
  ), { maxLength: 4 })),
  tool: optional(fc.record({ name: label, server: label, arguments: anyJson, result: anyJson }, { requiredKeys: ['name'] })),
  resources: optional(fc.array(resource, { maxLength: 4 })),
  action: fc.constantFrom(...ACTIONS),
  outcome: fc.record({ status: fc.constantFrom(...OUTCOMES), code: label, message: fc.string() }, { requiredKeys: ['status'] }),
  decision: optional(fc.record({ effect: fc.constantFrom(...EFFECTS), policy_id: label, reason: fc.string() }, { requiredKeys: ['effect'] })),
  network: optional(fc.record({ destination_host: label, destination_ip: fc.oneof(fc.ipV4(), fc.ipV6(), label), destination_port: fc.nat(70_000), bytes_out: count }, { requiredKeys: [] })),
  duration_ms: optional(fc.oneof(fc.double({ min: -1, noNaN: true, noDefaultInfinity: true }), fc.nat(), fc.constantFrom(0.1, 12.5, 1e21, 1e-7))),
  source: optional(fc.record({ emitter: label, sequence: count, vantage: fc.constantFrom(...VANTAGES) }, { requiredKeys: ['emitter'] })),
  attributes: optional(fc.dictionary(fc.string(), anyJson)),
});
const indent = fc.constantFrom(undefined, 1, '\t', '\r\n ');

describe('EventTape', () => {
  it('holds what readEvent finds, in events of every kind and lay-out', () => {
    const ways = { quick: 0, slow: 0, refused: 0 };
    fc.assert(fc.property(event, indent, (value, space) => {
      if (tape.count > 50) tape.clear();
      ways[agree(Buffer.from(JSON.stringify(value, undefined, space)))]++;
    }), { numRuns: 1500 });
    // All three ways were gone, or this shows nothing.
    expect(Math.min(ways.quick, ways.slow, ways.refused)).toBeGreaterThan(20);
  });

  it('never accepts what readEvent refuses, whatever byte is changed', () => {
    const bytes = fc.constantFrom(...Buffer.from('{}[]",:\\\n 019.eE+-tfnu/aZ\u0000\u007f'), 0x80, 0xc3, 0xff);
    const edit = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), how: fc.constantFrom('insert', 'replace', 'delete', 'copy'), byte: bytes, length: fc.nat(40) });
    fc.assert(fc.property(event, fc.array(edit, { minLength: 1, maxLength: 3 }), (value, edits) => {
      if (tape.count > 50) tape.clear();
      let text = Buffer.from(JSON.stringify({ ...value, tool: value.tool ?? { name: 't' }, resources: [{ uri: 'u', type: 't' }] }));
      for (const { at: where, how, byte, length } of edits) {
        const i = Math.floor(where * text.length);
        const rest = how === 'insert' ? text.subarray(i) : text.subarray(i + (how === 'copy' ? 0 : 1));
        const middle = how === 'delete' ? Buffer.alloc(0) : how === 'copy' ? text.subarray(i, i + length) : Buffer.from([byte]);
        text = Buffer.concat([text.subarray(0, i), middle, rest]);
      }
      agree(text);
    }), { numRuns: 4000 });
  });

  it('does not read on behind the end of an event that is cut short', () => {
    const text = Buffer.from('{"event_id":"e","time":"2026-11-22T14:33:07Z","kind":"tool_call","agent":{"id":"a"},"tool":{"name":"t"},"action":"invoke","outcome":{"status":"success"}}');
    expect(agree(text)).toBe('quick');
    for (let cut = 1; cut < text.length; cut++) {
      tape.clear();
      expect(agree(text.subarray(0, cut), text.subarray(cut).toString())).toBe('refused');
    }
  });

  it.each(['valid', 'invalid'])('agrees with readEvent on the %s fixtures', (folder) => {
    const dir = new URL(`../fixtures/${folder}/`, import.meta.url);
    for (const name of readdirSync(dir).filter((file) => file.endsWith('.json') && !file.includes('expected'))) {
      tape.clear();
      agree(readFileSync(new URL(name, dir)).subarray());
    }
  });

  it('honours the limits it is given', () => {
    const nested = (levels: number): Buffer => Buffer.from(`{"event_id":"e","time":"2026-11-22T14:33:07Z","kind":"tool_call","agent":{"id":"a"},"tool":{"name":"t","arguments":${'['.repeat(levels)}${']'.repeat(levels)}},"action":"invoke","outcome":{"status":"success"}}`);
    tape.clear();
    expect(tape.take(nested(LIMITS.nesting - 2))).toBeUndefined();
    expect(tape.take(nested(LIMITS.nesting - 1))?.errors[0]?.code).toBe('too_deep');
    expect(tape.take(nested(3), 0, undefined, { nesting: 64, eventBytes: 100 })?.errors[0]?.code).toBe('too_big');
  });
});

describe('compileLayout', () => {
  it.each([
    [{ type: 'string', pattern: '^a+$' }, /pattern/],
    [{ type: 'string', format: 'uri' }, /format/],
    [{ type: 'number', multipleOf: 2 }, /multipleOf/],
    [{ type: 'boolean' }, /type/],
  ])('refuses a rule that the reader would not check: %j', (rule, message) => {
    expect(() => compileLayout({ type: 'object', properties: { a: rule }, additionalProperties: false })).toThrow(message);
  });
});
