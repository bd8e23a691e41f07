import { EventTape, LIMITS } from '@agent-audit/schemas';
import { describe, expect, it } from 'vitest';
import { toolCall } from '../../../test/support/events.ts';
import { takeKept } from './take-kept.ts';

const event = JSON.stringify(toolCall({ event_id: 'kept' }));
const record = { eventID: 'ct-1', eventTime: '2026-03-01T12:00:00Z', eventName: 'GetObject', eventSource: 's3.amazonaws.com' };
const envelope = { specversion: '1.0', id: '1', source: '/s', type: 't' };

/** What is on the tape afterwards, or the codes of the errors. */
function take(raw: string | Buffer, limits = LIMITS): string[] {
  const tape = new EventTape();
  const errors = takeKept(tape, Buffer.from(raw as string), limits);
  if (errors !== undefined) {
    expect(tape.count).toBe(0);
    return errors.map(({ code }) => code);
  }
  return Array.from({ length: tape.count }, (_, i) => Buffer.from(tape.raw(i)).toString());
}

describe('takeKept', () => {
  it('takes an event, byte for byte', () => {
    expect(take(event)).toEqual([event]);
    const odd = event.replace('{', '{ "attributes":{"n":1e400},\t');
    expect(take(odd)).toEqual([odd]);
  });

  it('maps a CloudTrail record', () => {
    const [text = ''] = take(JSON.stringify(record));
    expect(JSON.parse(text)).toMatchObject({ event_id: 'ct-1', kind: 'data_access' });
    expect(take(JSON.stringify({ ...record, eventTime: 'yesterday' }))).toEqual(['invalid_time']);
    expect(take(JSON.stringify({ eventID: 'ct-2' }))).toEqual(['required', 'required', 'required']);
  });

  it('opens a CloudEvent, with its event as it is or in base64', () => {
    expect(take(JSON.stringify(envelope).replace('}', `,"data":${event}}`))).toEqual([event]);
    expect(take(JSON.stringify({ ...envelope, data_base64: Buffer.from(event).toString('base64') }))).toEqual([event]);
    expect(take(JSON.stringify({ ...envelope, specversion: '0.3', data: {} }))).toEqual(['not_allowed']);
    expect(take(JSON.stringify({ ...envelope, data: { event_id: 'x' } }))).toContain('required');
  });

  it('holds to the limits, whatever the form', () => {
    for (const raw of [event, JSON.stringify(record), JSON.stringify(envelope).replace('}', `,"data":${event}}`)]) expect(take(raw, { ...LIMITS, eventBytes: 100 })).toEqual(['too_big']);
  });

  it.each<[string | Buffer, string]>([
    ['', 'malformed_json'], ['{', 'malformed_json'], ['null', 'wrong_type'], ['[]', 'wrong_type'], ['"specversion"', 'wrong_type'], [Buffer.from([0x22, 0xff, 0x22]), 'invalid_utf8'],
    ['{"event_id":"a","event_id":"b"}', 'duplicate_key'], [`${'['.repeat(100_000)}`, 'too_deep'],
  ])('%# is refused', (raw, code) => {
    expect(take(raw)).toContain(code);
  });

  it('takes nothing with an event_id for another form', () => {
    expect(take(JSON.stringify({ ...JSON.parse(event), eventID: 'ct', specversion: '1.0' }))).toEqual(['unknown_field', 'unknown_field']);
  });
});
