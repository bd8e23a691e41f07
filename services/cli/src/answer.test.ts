import { describe, expect, it } from 'vitest';
import { member, onOneLine, readList } from './answer.ts';

const completeness = '{"status":"unknown","emitters":[],"unnumbered":0,"quarantined":0,"late":0,"conflicts":0,"downtime":[],"as_of":"2026-11-22T15:00:00Z"}';
const list = (events: string, cursor = 'null'): Buffer => Buffer.from(`{"events":[${events}],"next_cursor":${cursor},"completeness":${completeness}}\n`);

describe('readList', () => {
  it('keeps the bytes of each item', () => {
    const exact = '{"event": {"attributes":{"a":9223372036854775808,"b":1e400,"c":-0,"d":"\\u00e9é"}},"recorded":{}}';
    const answer = readList(list(`${exact} , {"event":{}}`), 'events');
    expect(answer?.items.map(String)).toEqual([exact, '{"event":{}}']);
    expect(answer?.nextCursor).toBeNull();
    expect(answer?.completeness?.status).toBe('unknown');
  });

  it('is not misled by an event that looks like the answer', () => {
    const answer = readList(list('{"event":{"attributes":{"next_cursor":"x","events":[1,2]}}}', '"real"'), 'events');
    expect(answer?.items).toHaveLength(1);
    expect(answer?.nextCursor).toBe('real');
  });

  it.each(['<html></html>', '', '[]', '{"events":{}}', '{"events":[1', 'null'])('is undefined for %j', (text) => {
    expect(readList(Buffer.from(text), 'events')).toBeUndefined();
  });
});

it('member finds the bytes of one member', () => {
  expect(member(Buffer.from('{"event": {"n":1e400} ,"x":1}'), 'event')?.toString()).toBe('{"n":1e400}');
  expect(member(Buffer.from('{}'), 'event')).toBeUndefined();
});

it('onOneLine changes white space between tokens only', () => {
  expect(onOneLine(Buffer.from('{\r\n "a":\n"x\\ny"}')).toString()).toBe('{   "a": "x\\ny"}');
  const same = Buffer.from('{"a":1}');
  expect(onOneLine(same)).toBe(same);
});
