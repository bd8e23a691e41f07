import { EventTape, LIMITS, type AuditEvent } from '@agent-audit/schemas';
import { Problem } from '@agent-audit/shared';
import { describe, expect, it } from 'vitest';
import { toolCall } from '../../../test/support/events.ts';
import { mediaType, readEvents } from './intake.ts';

interface Taken {
  readonly accepted: string[];
  readonly rejected: { index: number; id: string | undefined; codes: string[]; raw: string; messages: string[] }[];
}

function take(body: string | Buffer, type: string | undefined = 'application/json', limits = LIMITS): Taken {
  const tape = new EventTape();
  const rejected = readEvents(Buffer.from(body as string), type, limits, tape);
  return {
    accepted: Array.from({ length: tape.count }, (_, i) => Buffer.from(tape.raw(i)).toString('utf8')),
    rejected: rejected.map(({ index, eventId, errors, raw }) => ({ index, id: eventId, codes: errors.map(({ code }) => code), raw: Buffer.from(raw).toString('latin1'), messages: errors.map(({ message }) => message) })),
  };
}

function problem(body: string | Buffer, type?: string, limits = LIMITS): Problem {
  try {
    take(body, type, limits);
  } catch (error) {
    expect(error).toBeInstanceOf(Problem);
    return error as Problem;
  }
  throw new Error('the body was taken');
}

const one = JSON.stringify(toolCall({ event_id: 'one' }));
const two = JSON.stringify(toolCall({ event_id: 'two' }));
const bad = JSON.stringify({ ...toolCall({ event_id: 'bad' }), color: 'red' });
const NDJSON = 'application/x-ndjson';
const CE = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json';
const envelope = (data: string): string => `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":${data}}`;

describe('media types', () => {
  it.each([
    ['application/json', one], ['Application/JSON; charset=utf-8', one], [' application/json ;x', one], [NDJSON, one], ['application/ndjson', one], ['application/jsonl', one],
    [CE, envelope(one)], [`${CE}; charset=utf-8`, envelope(one)], [BATCH, `[${envelope(one)}]`],
  ])('%s is taken', (type, body) => {
    expect(take(body, type).accepted).toEqual([one]);
  });

  it.each([[undefined], [''], ['text/plain'], ['application/json+x'], ['application/xml'], ['json'], ['application/x-www-form-urlencoded']])('%j is not', (type) => {
    const error = problem(one, type ?? '');
    expect(error.code).toBe('unsupported_media_type');
    expect(error.status).toBe(415);
  });

  it('mediaType leaves parameters out', () => {
    expect([undefined, '', ';', 'A/B;c=d', ' a/b '].map(mediaType)).toEqual(['', '', '', 'a/b', 'a/b']);
  });

  it('answers with at most 80 characters of an unknown one', () => {
    expect(problem(one, `x/${'y'.repeat(5000)}`).detail.length).toBeLessThan(400);
  });
});

describe('one event', () => {
  it('keeps its bytes: white space around it goes, inside it stays', () => {
    const spaced = one.replaceAll(',', ' ,\r\n\t');
    expect(take(` \t\r\n${spaced}\r\n\n `).accepted).toEqual([spaced]);
    expect(take(`\uFEFF ${spaced}`).accepted).toEqual([spaced]);
  });

  it('that breaks a rule is rejected with its bytes and its id', () => {
    expect(take(` ${bad}\n`)).toMatchObject({ accepted: [], rejected: [{ index: 0, id: 'bad', codes: ['unknown_field'], raw: bad }] });
  });

  it.each([['{"event_id":"a b"}', undefined], [`{"event_id":"${'x'.repeat(129)}"}`, undefined], ['{"event_id":7}', undefined], ['7', undefined], ['null', undefined], ['"x"', undefined], ['{"event_id":"ok"}', 'ok']])('%s has the id %j', (body, id) => {
    expect(take(body).rejected[0]?.id).toBe(id);
  });

  it.each([
    ['duplicate keys', one.replace('"kind"', '"time":"2026-01-01T00:00:00Z","kind"'), 'duplicate_key'],
    ['too deep', one.replace('{', `{"attributes":{"a":${'['.repeat(70)}${']'.repeat(70)}},`), 'too_deep'],
    ['too big', one.replace('{', `{"attributes":{"a":"${'x'.repeat(LIMITS.eventBytes)}"},`), 'too_big'],
  ])('with %s is at fault by itself', (_, body, code) => {
    expect(take(body).rejected).toMatchObject([{ index: 0, codes: [code], raw: body }]);
  });

  it.each<[string, string | Buffer, string, number, number, number]>([
    ['a trailing comma', '{"a": 1,}', 'malformed_json', 1, 9, 8],
    ['on another line', '\n\n {"a"\n: tru}', 'malformed_json', 4, 6, 13],
    ['behind a byte order mark', '\uFEFF{"a" 1}', 'malformed_json', 1, 6, 8],
    ['cut off', '{"event_id":', 'malformed_json', 1, 13, 12],
    ['two values', `${'{}'} {}`, 'malformed_json', 1, 4, 3],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0x61, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'invalid_utf8', 1, 4, 3],
  ])('that is broken is a broken body: %s', (_, body, code, line, column, offset) => {
    const error = problem(body);
    expect(error.code).toBe(code);
    expect(error.members).toEqual({ line, column, offset });
    expect(error.status).toBe(400);
  });

  it.each(['', ' \n\t ', '\uFEFF'])('%j is broken or empty, never an event', (body) => {
    expect(['malformed_json', 'empty_body']).toContain(problem(body).code);
  });
});

describe('an array', () => {
  it('takes each element by itself, with the places of those that are rejected', () => {
    const spaced = two.replaceAll('":', '" : ');
    const answer = take(`\uFEFF \n[ ${one} ,\n${bad},${spaced},7, {"event_id":"x"}\t]\n`);
    expect(answer.accepted).toEqual([one, spaced]);
    expect(answer.rejected.map(({ index, id, raw }) => [index, id, raw])).toEqual([[1, 'bad', bad], [3, undefined, '7'], [4, 'x', '{"event_id":"x"}']]);
  });

  it('is broken as a whole where nobody can tell where an event ends', () => {
    const error = problem(`[${one},\n{"a":}]`);
    expect(error).toMatchObject({ code: 'malformed_json', members: { line: 2, column: 6 } });
    expect(problem('[1,]').code).toBe('malformed_json');
    expect(problem(`[${one}`).code).toBe('malformed_json');
    expect(problem(`[${one}] x`).code).toBe('malformed_json');
  });

  it('of nothing holds no event', () => {
    expect(problem('[ ]').code).toBe('empty_body');
  });

  it('of more than is allowed is too large', () => {
    expect(problem(`[${'0,'.repeat(LIMITS.eventsPerBody)}0]`)).toMatchObject({ code: 'body_too_large', status: 413 });
  });
});

describe('NDJSON', () => {
  it('takes each line by itself: LF, CRLF, blank lines, a byte order mark, no line end at the end', () => {
    const answer = take(`\uFEFF${one}\r\n\r\n \t \n${bad}\n{"a":\n  ${two}  \r\n\n${one}`, NDJSON);
    expect(answer.accepted).toEqual([one, two, one]);
    expect(answer.rejected).toMatchObject([{ index: 1, id: 'bad', codes: ['unknown_field'], raw: bad }, { index: 2, id: undefined, codes: ['malformed_json'], raw: '{"a":' }]);
    expect(answer.rejected[1]?.messages[0]).toContain('line 5 of the body');
  });

  it('rejects a line that is not UTF-8 with its bytes', () => {
    const line = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    const answer = take(Buffer.concat([Buffer.from(`${one}\n`), line, Buffer.from(`\n${two}\n`)]), NDJSON);
    expect(answer.accepted).toEqual([one, two]);
    expect(answer.rejected).toMatchObject([{ index: 1, codes: ['invalid_utf8'], raw: line.toString('latin1') }]);
  });

  it('takes an array on one line for what it is not: an event', () => {
    expect(take(`[${one}]`, NDJSON).rejected).toMatchObject([{ index: 0 }]);
  });

  it.each(['', '\n', '\r\n \n\t\r\n', '\uFEFF'])('of %j holds no event', (body) => {
    expect(problem(body, NDJSON).code).toBe('empty_body');
  });

  it('takes as many lines as are allowed', () => {
    expect(take('0\n'.repeat(LIMITS.eventsPerBody), NDJSON).rejected).toHaveLength(LIMITS.eventsPerBody);
  });

  it('of more lines than are allowed is too large: none is left out in silence', () => {
    for (const more of [1, 2, 50]) expect(problem('0\n'.repeat(LIMITS.eventsPerBody + more), NDJSON)).toMatchObject({ code: 'body_too_large', status: 413 });
  });
});

describe('CloudEvents', () => {
  it('carry the event byte for byte, as data or in base64', () => {
    const spaced = one.replaceAll(',', ' , ');
    expect(take(envelope(spaced), CE).accepted).toEqual([spaced]);
    const encoded = `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"${Buffer.from(spaced).toString('base64')}"}`;
    expect(take(encoded, CE).accepted).toEqual([spaced]);
    expect(take(`[${envelope(one)}, ${encoded}]`, BATCH).accepted).toEqual([one, spaced]);
  });

  it('are rejected by themselves', () => {
    const answer = take(`[${envelope(one)},{"id":"1"},${envelope(bad)},7]`, BATCH);
    expect(answer.accepted).toEqual([one]);
    expect(answer.rejected.map(({ index, id }) => [index, id])).toEqual([[1, undefined], [2, 'bad'], [3, undefined]]);
    expect(take('{"id":"1"}', CE).rejected[0]?.codes).toContain('required');
  });

  it('are broken as a whole where the text is', () => {
    expect(problem('{"id":', CE)).toMatchObject({ code: 'malformed_json', members: { line: 1, column: 7 } });
    expect(problem(`[${envelope(one)}`, BATCH).code).toBe('malformed_json');
    expect(problem('[]', BATCH).code).toBe('empty_body');
  });
});

describe('limits', () => {
  it('are those that are given', () => {
    const deep = JSON.stringify({ ...toolCall(), attributes: { a: { b: 1 } } } satisfies AuditEvent);
    const size = Buffer.byteLength(deep);
    expect(take(deep, 'application/json', { ...LIMITS, nesting: 3 } as unknown as typeof LIMITS).accepted).toEqual([deep]);
    expect(take(deep, 'application/json', { ...LIMITS, nesting: 2 } as unknown as typeof LIMITS).rejected).toMatchObject([{ codes: ['too_deep'] }]);
    expect(take(deep, 'application/json', { ...LIMITS, eventBytes: size } as unknown as typeof LIMITS).accepted).toEqual([deep]);
    expect(take(deep, 'application/json', { ...LIMITS, eventBytes: size - 1 } as unknown as typeof LIMITS).rejected).toMatchObject([{ codes: ['too_big'] }]);
  });
});
