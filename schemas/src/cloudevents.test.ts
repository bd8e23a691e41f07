import { describe, expect, it } from 'vitest';
import { readCloudEvent, splitCloudEvents } from './cloudevents.ts';
import { readEvent } from './read.ts';

const event = '{"event_id":"e-1", "time":"2026-11-22T14:33:07Z","kind":"tool_call","agent":{"id":"a"},"tool":{"name":"t"},"action":"read","outcome":{"status":"success"}}';
const envelope = (extra: Record<string, unknown> = {}): Record<string, unknown> => ({ specversion: '1.0', id: 'ce-1', source: '/gw', type: 'agent.tool_call', ...extra });
const read = (text: string): ReturnType<typeof readCloudEvent> => readCloudEvent(Buffer.from(text));
const withData = (extra: Record<string, unknown> = {}, data = event): string => `${JSON.stringify(envelope(extra)).slice(0, -1)},"data": ${data}}`;

describe('readCloudEvent', () => {
  it('gives the exact bytes of data', () => {
    const result = read(withData({ datacontenttype: 'application/json; charset=utf-8', subject: 's', time: '2026-11-22T14:33:08Z', sampledrate: 3 }));
    if (!result.ok) throw new Error(JSON.stringify(result.errors));
    expect(Buffer.from(result.bytes).toString('utf8', result.range.start, result.range.end)).toBe(event);
    expect(readEvent(result.bytes, result.range.start, result.range.end)).toMatchObject({ ok: true, event: { event_id: 'e-1' } });
  });

  it('decodes data_base64', () => {
    const result = read(JSON.stringify(envelope({ data_base64: Buffer.from(event).toString('base64') })));
    expect(result.ok && Buffer.from(result.bytes).toString()).toBe(event);
  });

  it('invents nothing that data lacks', () => {
    const result = read(withData({ time: '2026-11-22T14:33:08Z' }, '{"kind":"tool_call","tool":{"name":"t"}}'));
    if (!result.ok) throw new Error('refused');
    const inner = readEvent(result.bytes, result.range.start, result.range.end);
    expect(!inner.ok && inner.errors.map(({ path }) => path)).toEqual(['/event_id', '/time', '/agent', '/action', '/outcome']);
  });

  it.each([
    [withData({ specversion: '0.3' }), '/specversion', 'not_allowed'],
    [withData({ id: '' }), '/id', 'too_short'],
    [withData({ source: undefined }), '/source', 'required'],
    [withData({ type: 1 }), '/type', 'wrong_type'],
    [withData({ time: 'today' }), '/time', 'invalid_time'],
    [withData({ datacontenttype: 'text/xml' }), '/datacontenttype', 'unsupported'],
    [withData({ data_base64: '' }), '/data_base64', 'unsupported'],
    [withData({ Extra: 1 }), '', 'unknown_field'],
    [withData({ extra: {} }), '/extra', 'wrong_type'],
    [withData({}, '"text"'), '/data', 'wrong_type'],
    [withData({}, '[]'), '/data', 'wrong_type'],
    [JSON.stringify(envelope()), '/data', 'required'],
    [JSON.stringify(envelope({ data_base64: 'a b=' })), '/data_base64', 'bad_format'],
    ['[]', '', 'wrong_type'],
    ['{"id":1,"id":2}', '/id', 'duplicate_key'],
    ['{', '', 'malformed_json'],
  ])('refuses %.70s', (text, path, code) => expect(read(text)).toMatchObject({ ok: false, errors: [{ path, code }] }));

  it('reads a batch', () => {
    const bytes = Buffer.from(`[${withData()}, ${JSON.stringify(envelope())}]`);
    const split = splitCloudEvents(bytes);
    if (!split.ok) throw new Error(split.message);
    expect(split.elements.map(({ start, end, scan }) => readCloudEvent(bytes, start, end, scan).ok)).toEqual([true, false]);
  });

  it('lets the event nest as deep as one sent bare', () => {
    const deep = event.replace('"read"', `"read","attributes":${'{"a":'.repeat(63)}1${'}'.repeat(63)}`);
    const result = read(withData({}, deep));
    expect(result.ok && readEvent(result.bytes, result.range.start, result.range.end).ok).toBe(true);
  });
});
