import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AuditEvent } from './event.ts';
import { FIELD_ERROR_CODES } from './errors.ts';
import { MAX_FIELD_ERRORS } from './limits.ts';
import { validateEvent } from './validate.ts';

const full = readFileSync(new URL('../fixtures/valid/tool-call-full.json', import.meta.url), 'utf8');

/** Paths to every value of an event, containers included. */
function paths(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, inner]) => paths(inner, [...path, key]))];
}

const PATHS = paths(JSON.parse(full)).filter((path) => path.length > 0);
const odd = fc.oneof(
  fc.constantFrom<unknown>(
    null, '', ' ', 'x', '\u0000', '\u007f', 0, -1, 1.5, 2 ** 53, -0, 1e308, Infinity, true, [], {}, [{}], '2026-11-22T14:33:07Z', '2026-02-30T00:00:00Z',
    '1800-01-01T00:00:00Z', '::1', '1.2.3.4', 'tool_call', 'data_access', 'user', 'x'.repeat(600), '😀'.repeat(128), '😀'.repeat(129), 'x'.repeat(20_000), 65_536,
  ),
  fc.jsonValue({ maxDepth: 1 }),
);
type Mutation = { path: string[]; how: 'set' | 'drop' | 'add'; value: unknown; key: string };
const mutation: fc.Arbitrary<Mutation> = fc.record({
  path: fc.constantFrom(...PATHS),
  how: fc.constantFrom('set', 'drop', 'add'),
  value: odd,
  key: fc.constantFrom('extra', 'constructor', 'toString', 'id', 'name', '__proto__'),
});

function mutate(event: unknown, { path, how, value, key }: Mutation): void {
  let target = event as Record<string, unknown>;
  for (const step of path.slice(0, -1)) {
    if (typeof target !== 'object' || target === null || !Object.hasOwn(target, step)) return;
    target = target[step] as Record<string, unknown>;
  }
  if (typeof target !== 'object' || target === null) return;
  const last = path.at(-1) as string;
  if (how === 'drop') {
    if (Array.isArray(target)) target.splice(Number(last), 1);
    else delete target[last];
  } else if (how === 'add' && !Array.isArray(target)) {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    target[last] = value;
  }
}

const hasProtoKey = (value: unknown): boolean => JSON.stringify(value).includes('"__proto__"');

function messages(extra: Record<string, unknown>): string[] {
  const result = validateEvent({ ...(JSON.parse(full) as object), ...extra });
  return result.ok ? [] : result.errors.map((error) => error.message);
}

describe('validateEvent', () => {
  it('decides as zod does, and always says why not', () => {
    let accepted = 0;
    fc.assert(fc.property(fc.array(mutation, { minLength: 1, maxLength: 2 }), (mutations) => {
      const event: unknown = JSON.parse(full);
      for (const one of mutations) mutate(event, one);
      const result = validateEvent(event);
      // zod does not see a `__proto__` key; everywhere else the two must agree.
      if (!hasProtoKey(event)) expect(result.ok).toBe(AuditEvent.safeParse(event).success);
      if (result.ok) {
        accepted++;
        return;
      }
      expect(result.errors.length).toBeGreaterThan(0);
      for (const error of result.errors) expect(FIELD_ERROR_CODES).toHaveProperty(error.code);
    }), { numRuns: 3000 });
    expect(accepted).toBeGreaterThan(100);
  });

  it('returns the very value', () => {
    const event: unknown = JSON.parse(full);
    const result = validateEvent(event);
    expect(result.ok && result.event).toBe(event);
    expect(JSON.stringify(event)).toBe(JSON.stringify(JSON.parse(full)));
  });

  it('counts lengths in code points', () => {
    const event = JSON.parse(full) as AuditEvent;
    event.agent.id = '😀'.repeat(512);
    expect(validateEvent(event).ok).toBe(true);
    event.agent.id += '😀';
    expect(validateEvent(event)).toMatchObject({ ok: false, errors: [{ path: '/agent/id', code: 'too_long' }] });
  });

  it('suggests what was meant', () => {
    expect(messages({ toolname: 1 })).toEqual(['unknown field `toolname`; did you mean `tool`? free-form data goes in `attributes`']);
    expect(messages({ timestamp: 1 })[0]).toContain('`time`');
    expect(messages({ durationMs: 1 })[0]).toContain('`duration_ms`');
    expect(messages({ zebra: 1 })).toEqual(['unknown field `zebra`; free-form data goes in `attributes`']);
  });

  it('bounds what it says about a hostile event', () => {
    const hostile = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`${'k'.repeat(500)}${i}`, i]));
    const result = validateEvent({ ...(JSON.parse(full) as object), ...hostile });
    if (result.ok) throw new Error('accepted');
    expect(result.errors).toHaveLength(MAX_FIELD_ERRORS);
    expect(JSON.stringify(result.errors).length).toBeLessThan(16_000);
  });

  it('looks for lone surrogates in typed strings alone, and only when told', () => {
    const event = JSON.parse(full) as AuditEvent;
    event.attributes = { lone: '\ud800' };
    expect(validateEvent(event, { mayHoldLoneSurrogates: true }).ok).toBe(true);
    event.on_behalf_of = [{ type: 'user', id: '\udc00' }];
    expect(validateEvent(event).ok).toBe(true);
    expect(validateEvent(event, { mayHoldLoneSurrogates: true })).toMatchObject({ ok: false, errors: [{ path: '/on_behalf_of/0/id', code: 'invalid_unicode' }] });
  });

  it('takes no longer over lists without end than over the rest', () => {
    const event = JSON.parse(full) as Record<string, unknown>;
    event['resources'] = Array.from({ length: 100_000 }, () => ({}));
    const started = performance.now();
    expect(validateEvent(event)).toMatchObject({ ok: false, errors: [{ path: '/resources', code: 'too_long' }] });
    expect(performance.now() - started).toBeLessThan(500);
  });

  it.each([undefined, null, 1, 'x', true, []])('refuses %j', (value) =>
    expect(validateEvent(value)).toMatchObject({ ok: false, errors: [{ path: '', code: 'wrong_type' }] }));
});
