import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readEvent, validateEvent } from './index.ts';

const folder = new URL('../fixtures/', import.meta.url);
const read = (path: string): Buffer => readFileSync(new URL(path, folder));
const names = (kind: string): string[] => readdirSync(new URL(`${kind}/`, folder)).map((file) => file.replace(/\.json$/, '')).toSorted();

describe('valid fixtures', () => {
  it.each(names('valid'))('%s', (name) => {
    const bytes = read(`valid/${name}.json`);
    expect(readEvent(bytes)).toMatchObject({ ok: true });
    const value: unknown = JSON.parse(bytes.toString());
    const result = validateEvent(value, { mayHoldLoneSurrogates: true });
    expect(result.ok && result.event).toBe(value);
  });
});

describe('invalid fixtures', () => {
  const expected = JSON.parse(read('invalid.expected.json').toString()) as Record<string, { path: string; code: string }[]>;

  it('each has an expectation', () => expect(names('invalid')).toEqual(Object.keys(expected).toSorted()));

  it.each(names('invalid'))('%s', (name) => {
    const result = readEvent(read(`invalid/${name}.json`));
    if (result.ok) throw new Error('accepted');
    expect(result.errors.map(({ path, code }) => ({ path, code }))).toEqual(expected[name]);
    for (const error of result.errors) expect(error.message).not.toBe('');
  });

  it('leaves prototypes alone', () => {
    readEvent(read('invalid/proto-key.json'));
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});
