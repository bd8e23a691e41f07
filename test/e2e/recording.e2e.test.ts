import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import type { AuditEvent } from '@agent-audit/schemas';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { at, dataAccess, EVER, ndjson, NOON, toolCall } from '../support/events.ts';
import { elementTexts, memberText } from '../support/raw-json.ts';
import { lines, startService, type TestService } from '../support/service.ts';
import type { Tenant } from '../support/tenant.ts';

let service: TestService;
let tenant: Tenant;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());
beforeEach(async () => {
  tenant = await service.newTenant();
});

const texts = async (): Promise<string[]> => (await tenant.everything()).map(({ raw }) => raw);
const json = (event: AuditEvent): string => JSON.stringify(event);

describe('202', () => {
  test('one event', async () => {
    const event = toolCall();
    const answer = await tenant.post(json(event));
    expect(answer).toMatchObject({ status: 202 });
    expect(answer.headers['content-type']).toContain('application/json');
    expect(answer.json()).toEqual({ accepted: 1, duplicates: 0, rejected: [] });
    await tenant.visible([event]);
    expect(await texts()).toEqual([json(event)]);
  });

  test('an array', async () => {
    const events = [toolCall(), dataAccess(), toolCall()];
    const answer = await tenant.post(JSON.stringify(events, undefined, 2));
    expect(answer).toMatchObject({ status: 202 });
    expect(answer.json()).toEqual({ accepted: 3, duplicates: 0, rejected: [] });
    await tenant.visible(events);
    expect((await tenant.everything()).map(({ event }) => event)).toEqual(events);
  });

  test('an array of one', async () => {
    const answer = await tenant.post(JSON.stringify([toolCall()]));
    expect(answer.json()).toEqual({ accepted: 1, duplicates: 0, rejected: [] });
  });

  test.each(['application/x-ndjson', 'application/x-ndjson; charset=utf-8', 'APPLICATION/X-NDJSON'])('lines, as %s', async (type) => {
    const events = [toolCall(), toolCall(), toolCall()];
    const [a, b, c] = events.map(json);
    // Both line ends, an empty line, and none behind the last.
    const answer = await tenant.post(`${a}\r\n\n${b}\n${c}`, { type });
    expect(answer.json()).toEqual({ accepted: 3, duplicates: 0, rejected: [] });
    await tenant.visible(events);
    expect(await texts()).toEqual([a, b, c]);
  });

  test('10,000 events in one body', async () => {
    const events = Array.from({ length: 10_000 }, () => toolCall());
    const answer = await tenant.post(...lines(events));
    expect(answer.json()).toEqual({ accepted: 10_000, duplicates: 0, rejected: [] });
    await tenant.visible(events);
    expect(await texts()).toEqual(events.map(json));
  });

  test.each([
    ['gzip', gzipSync], ['x-gzip', gzipSync], ['GZIP', gzipSync], ['deflate', deflateSync], ['br', brotliCompressSync], ['zstd', zstdCompressSync],
    ['identity', (body: string) => Buffer.from(body)],
  ] as const)('Content-Encoding %s', async (encoding, compress) => {
    const events = [toolCall(), toolCall()];
    const answer = await tenant.post(compress(ndjson(events)), { type: 'application/x-ndjson', encoding });
    expect(answer.json()).toEqual({ accepted: 2, duplicates: 0, rejected: [] });
    await tenant.visible(events);
    expect(await texts()).toEqual(events.map(json));
  });

  test('chunked, without a Content-Length', async () => {
    const event = toolCall();
    const answer = await tenant.post(json(event), { headers: { 'transfer-encoding': 'chunked' } });
    expect(answer.json()).toMatchObject({ accepted: 1 });
  });

  test('with a byte order mark, which is not part of the event', async () => {
    const event = toolCall();
    expect((await tenant.post(`\ufeff${json(event)}`)).json()).toMatchObject({ accepted: 1 });
    await tenant.visible([event]);
    expect(await texts()).toEqual([json(event)]);
  });

  test('says of each event that was rejected where it stood and why, and records the others', async () => {
    const [first, last] = [toolCall(), toolCall()];
    const bad = { ...toolCall({ event_id: 'bad-one' }), kind: 'tool-call' };
    const answer = await tenant.post(JSON.stringify([first, bad, 7, last]));
    expect(answer).toMatchObject({ status: 202 });
    expect(answer.json()).toEqual({
      accepted: 2,
      duplicates: 0,
      rejected: [
        { index: 1, event_id: 'bad-one', errors: [{ path: '/kind', code: 'not_allowed', message: expect.any(String) }] },
        { index: 2, errors: [{ path: '', code: 'wrong_type', message: expect.any(String) }] },
      ],
    });
    await tenant.visible([first, last]);
    expect(await texts()).toEqual([json(first), json(last)]);
  });
});

const envelope = (data: string): string => `{"specversion":"1.0","id":"ce-1","source":"/gateway","type":"agent.audit","data": ${data} }`;

describe('CloudEvents', () => {
  test('structured', async () => {
    const event = toolCall();
    const odd = json(event).replace('{', '{ ');
    const answer = await tenant.post(envelope(odd), { type: 'application/cloudevents+json; charset=utf-8' });
    expect(answer.status).toBe(202);
    await tenant.visible([event]);
    expect(await texts()).toEqual([odd]);
  });

  test('a batch, base64 too', async () => {
    const events = [toolCall(), toolCall()];
    const [a, b] = events.map(json) as [string, string];
    const base64 = `{"specversion":"1.0","id":"ce-2","source":"/gateway","type":"agent.audit","data_base64":"${Buffer.from(b).toString('base64')}"}`;
    const answer = await tenant.post(`[${envelope(a)},${base64}]`, { type: 'application/cloudevents-batch+json' });
    expect(answer.json()).toEqual({ accepted: 2, duplicates: 0, rejected: [] });
    await tenant.visible(events);
    expect(await texts()).toEqual([a, b]);
  });

  test('one bad element of a batch does not cost the others', async () => {
    const event = toolCall();
    const answer = await tenant.post(`[{"specversion":"0.3","id":"1","source":"/s","type":"t","data":{}},${envelope(json(event))}]`, { type: 'application/cloudevents-batch+json' });
    expect(answer.json()).toMatchObject({ accepted: 1, rejected: [{ index: 0, errors: [{ path: '/specversion', code: 'not_allowed' }] }] });
  });
});

describe('422', () => {
  test.each([['one event', (bad: string) => bad], ['an array', (bad: string) => `[${bad}]`]])('%s, all rejected', async (_, wrap) => {
    const answer = await tenant.post(wrap('{"event_id":"nothing-else"}'));
    expect(answer).toMatchObject({ status: 422 });
    const body = answer.json();
    expect(body).toMatchObject({ accepted: 0, duplicates: 0, rejected: [{ index: 0, event_id: 'nothing-else' }] });
    expect(body.rejected[0].errors.map(({ path, code }: { path: string; code: string }) => [path, code])).toEqual(
      expect.arrayContaining(['/time', '/kind', '/agent', '/action', '/outcome'].map((path) => [path, 'required'])),
    );
    expect(await texts()).toEqual([]);
  });

  test('the rejected go to quarantine with their bytes and reasons', async () => {
    const bad = Buffer.from(' {"event_id": "lost", "kind":\t"x"} ');
    const answer = await tenant.post(Buffer.concat([Buffer.from('['), bad, Buffer.from(',"\xff"]', 'latin1')]));
    expect(answer.status).toBe(422);
    const quarantine = await tenant.get('/v1/quarantine?from=-5m');
    expect(quarantine.status).toBe(200);
    const { entries } = quarantine.json();
    expect(entries).toHaveLength(2);
    const lost = entries.find(({ event_id: id }: { event_id: string | null }) => id === 'lost');
    expect(Buffer.from(lost.raw_base64, 'base64').toString()).toBe('{"event_id": "lost", "kind":\t"x"}');
    expect(lost.errors).toEqual(answer.json().rejected[0].errors);
    const broken = entries.find(({ event_id: id }: { event_id: string | null }) => id === null);
    expect(Buffer.from(broken.raw_base64, 'base64')).toEqual(Buffer.from('"\xff"', 'latin1'));
    expect(broken).toMatchObject({ bytes: 3, errors: [{ code: 'invalid_utf8' }] });
  });
});

describe('duplicates', () => {
  test('in one request', async () => {
    const event = toolCall();
    const answer = await tenant.post(...lines([event, event, event]));
    expect(answer.json()).toEqual({ accepted: 1, duplicates: 2, rejected: [] });
    await tenant.visible([event]);
    expect(await texts()).toEqual([json(event)]);
  });

  test('in a second request', async () => {
    const events = [toolCall(), toolCall()];
    await tenant.record(events);
    const more = toolCall();
    const answer = await tenant.post(...lines([...events, more]));
    expect(answer).toMatchObject({ status: 202 });
    expect(answer.json()).toEqual({ accepted: 1, duplicates: 2, rejected: [] });
    await tenant.visible([more]);
    expect(await texts()).toEqual([...events, more].map(json));
  });

  test('nothing but duplicates is acknowledged too', async () => {
    const event = toolCall();
    await tenant.record([event]);
    const answer = await tenant.post(json(event));
    expect(answer).toMatchObject({ status: 202 });
    expect(answer.json()).toEqual({ accepted: 0, duplicates: 1, rejected: [] });
  });

  test('in requests at the same time', async () => {
    const events = Array.from({ length: 50 }, () => toolCall());
    const answers = await Promise.all(Array.from({ length: 8 }, () => tenant.post(...lines(events))));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
    const sums = answers.map((answer) => answer.json()).reduce((a, b) => ({ accepted: a.accepted + b.accepted, duplicates: a.duplicates + b.duplicates }));
    expect(sums).toEqual({ accepted: 50, duplicates: 350 });
    await tenant.visible(events);
    expect(await texts()).toEqual(events.map(json));
  });

  test('over different forms: what counts is the bytes of the event', async () => {
    const event = toolCall();
    await tenant.record([event]);
    expect((await tenant.post(`[ ${json(event)} ]`)).json()).toMatchObject({ duplicates: 1 });
    const envelope = { specversion: '1.0', id: 'x', source: '/s', type: 't', data: event };
    expect((await tenant.post(JSON.stringify(envelope), { type: 'application/cloudevents+json' })).json()).toMatchObject({ duplicates: 1 });
    expect(await tenant.everything()).toHaveLength(1);
  });
});

describe('conflicts', () => {
  test('the same id with other bytes is kept and flagged, and the first stays the first', async () => {
    const first = toolCall();
    await tenant.record([first]);
    const other = { ...first, action: 'delete' } as const;
    expect((await tenant.post(json(other))).json()).toEqual({ accepted: 1, duplicates: 0, rejected: [] });
    // Both again: duplicates, whichever they are of.
    expect((await tenant.post(...lines([other, first]))).json()).toEqual({ accepted: 0, duplicates: 2, rejected: [] });

    const shown = await tenant.everything();
    expect(shown.map(({ raw, recorded }) => [raw, recorded.flags.includes('conflict')])).toEqual([[json(first), false], [json(other), true]]);
    expect(await tenant.completeness(`/v1/events?${EVER}`)).toMatchObject({ conflicts: 1 });

    const answer = await tenant.get(`/v1/events/${first.event_id}`);
    expect(memberText(answer.text, 'event')).toBe(json(first));
    const conflicts = elementTexts(memberText(answer.text, 'conflicts') as string);
    expect(conflicts.map((text) => memberText(text, 'event'))).toEqual([json(other)]);
    expect(answer.json().conflicts[0].recorded.flags).toContain('conflict');
  });

  test('inside one request', async () => {
    const first = toolCall();
    const spaced = json(first).replace(':', ': ');
    const answer = await tenant.post(...lines([first, spaced, first]));
    expect(answer.json()).toEqual({ accepted: 2, duplicates: 1, rejected: [] });
    expect(await texts()).toEqual([json(first), spaced]);
  });

  test('at another time and of another agent', async () => {
    const first = toolCall();
    await tenant.record([first]);
    const other = { ...first, time: at(NOON), agent: { id: 'agent:other' } };
    await tenant.record([other]);
    const answer = await tenant.get(`/v1/events/${first.event_id}`);
    expect(memberText(answer.text, 'event')).toBe(json(first));
    expect(answer.json().conflicts).toHaveLength(1);
  });
});

describe('what was recorded', () => {
  const id = 'kept-as-it-is';
  const time = '2026-03-01T12:00:00.123456789+05:30';
  const rest = `"time":"${time}","kind":"tool_call","agent":{"id":"agent:exact"},"action":"query","outcome":{"status":"success"}`;
  const cases: Readonly<Record<string, string>> = {
    'white space inside': `{ "event_id" :\t"${id}" , ${rest},\n  "tool": { "name": "t" }\r\n}`,
    'the order of keys': `{"tool":{"name":"t"},${rest},"event_id":"${id}"}`,
    'an integer of 2^63': `{"event_id":"${id}",${rest},"tool":{"name":"t","arguments":9223372036854775808}}`,
    'integers of 40 digits': `{"event_id":"${id}",${rest},"tool":{"name":"t","arguments":[1234567890123456789012345678901234567890,-0,0.10]}}`,
    '1e400': `{"event_id":"${id}",${rest},"tool":{"name":"t"},"attributes":{"big":1e400,"small":1E-400}}`,
    'NUL in free-form data': String.raw`{"event_id":"${id}",${rest},"tool":{"name":"t","result":"a\u0000b"},"attributes":{"\u0000":"\u0000"}}`,
    'lone surrogates in arguments': String.raw`{"event_id":"${id}",${rest},"tool":{"name":"t","arguments":{"half":"\ud800","other":"\udfff x","\ud83d":1}}}`,
    'escapes that need not be': String.raw`{"event_id":"\u006bept-as-it-is",${rest},"tool":{"name":"\/t","arguments":"\u0041\/\ud83d\ude00"}}`,
    'characters of four bytes and line separators': `{"event_id":"${id}",${rest},"tool":{"name":"t😀","arguments":"\u2028\u2029\u007f\u0085é\ufeff"}}`,
    'control characters, escaped': String.raw`{"event_id":"${id}",${rest},"tool":{"name":"t","arguments":"\b\f\n\r\t\u001b[31m\"\\"}}`,
    'what looks like another record': String.raw`{"event_id":"${id}",${rest},"tool":{"name":"t","arguments":"\"},\"recorded\":{\"flags\":[\"x\"]}}]}"},"attributes":{"recorded":{"flags":[]},"events":[]}}`,
    '__proto__ and constructor in free-form data': `{"event_id":"${id}",${rest},"tool":{"name":"t","arguments":{"__proto__":{"polluted":true},"constructor":{"prototype":1}}},"attributes":{"__proto__":1,"toString":2}}`,
    'nesting of 64': `{"event_id":"${id}",${rest},"tool":{"name":"t"},"attributes":{"deep":${'['.repeat(62)}${']'.repeat(62)}}}`,
    'empty texts and lists': `{"event_id":"${id}",${rest},"tool":{"name":"t","arguments":"","result":null},"on_behalf_of":[],"resources":[],"attributes":{"":""}}`,
  };

  test.each(Object.entries(cases))('comes back byte for byte: %s', async (_, raw) => {
    const answer = await tenant.post(raw);
    expect(answer.text).toBe('{"accepted":1,"duplicates":0,"rejected":[]}');
    await tenant.visible([JSON.parse(raw) as AuditEvent]);
    expect(memberText((await tenant.get(`/v1/events/${id}`)).text, 'event')).toBe(raw);
    expect(await texts()).toEqual([raw]);
    expect((await tenant.all(`/v1/agents/agent:exact/timeline?${EVER}`)).map((shown) => shown.raw)).toEqual([raw]);
    expect((await tenant.post(raw)).json()).toMatchObject({ accepted: 0, duplicates: 1 });
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  test('the largest event comes back too', async () => {
    const event = toolCall();
    const padding = 256 * 1024 - Buffer.byteLength(JSON.stringify({ ...event, attributes: { p: '' } }));
    const raw = JSON.stringify({ ...event, attributes: { p: 'x'.repeat(padding) } });
    expect(Buffer.byteLength(raw)).toBe(256 * 1024);
    await tenant.record([raw]);
    expect(await texts()).toEqual([raw]);
  });

  test('carries what the collector says beside it', async () => {
    const before = Date.now();
    const events = [toolCall(), toolCall(), toolCall()];
    await tenant.record(events);
    const shown = await tenant.everything();
    const [{ recorded }] = shown as [(typeof shown)[0]];
    expect(recorded).toEqual({
      received_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/),
      collector_id: expect.stringMatching(/^[A-Za-z0-9._-]+$/),
      log_id: `${tenant.name}/${recorded.collector_id}`,
      log_index: 0,
      salt: expect.stringMatching(/^[\w+/]{22}==$/),
      redactions: [],
      flags: expect.any(Array),
    });
    // A second of tolerance: the service's clock is finer than Date.now() and may be a little ahead or behind.
    expect(Math.abs(Date.parse(recorded.received_at) - before)).toBeLessThan(10_000);
    expect(shown.map((one) => one.recorded.log_index)).toEqual([0, 1, 2]);
  });

  test('flags what came late and what claims to be from the future', async () => {
    const now = BigInt(Date.now()) * 1_000_000n;
    const events = [-3600n, 0n, 3600n].map((seconds) => toolCall({ time: at(now + seconds * 1_000_000_000n) }));
    await tenant.record(events);
    expect((await tenant.everything()).map(({ recorded }) => recorded.flags)).toEqual([['late'], [], ['future']]);
  });

  test('log positions have no holes, whatever was rejected or a duplicate', async () => {
    const kept: AuditEvent[] = [];
    for (let i = 0; i < 5; i++) {
      const event = toolCall();
      kept.push(event);
      await tenant.post(...lines([event, event, '{}', ...kept]));
    }
    await tenant.visible(kept);
    expect((await tenant.everything()).map(({ recorded }) => recorded.log_index)).toEqual([0, 1, 2, 3, 4]);
  });
});
