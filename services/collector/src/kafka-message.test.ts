import { EventTape } from '@agent-audit/schemas';
import { describe, expect, it } from 'vitest';
import { toolCall } from '../../../test/support/events.ts';
import { takeMessage } from './kafka-message.ts';

const LIMITS = { eventBytes: 4096, nesting: 8 };
const event = JSON.stringify(toolCall({ event_id: 'e-1' }));
const ce = { ce_specversion: '1.0', ce_id: 'x', ce_source: '/gateway', ce_type: 'audit' };

/** The event's bytes as they would be recorded, or the codes of what is wrong. */
function take(value: string | Buffer | null, headers: Record<string, string | Buffer> = {}): string | string[] {
  const tape = new EventTape();
  const poison = takeMessage({ value: typeof value === 'string' ? Buffer.from(value) : value, headers }, tape, LIMITS);
  expect(tape.count).toBe(poison === undefined ? 1 : 0);
  return poison === undefined ? Buffer.from(tape.raw(0)).toString() : poison.errors.map(({ code }) => code);
}

describe('plain JSON', () => {
  it('is the event itself, without what surrounds it', () => {
    expect(take(event)).toBe(event);
    expect(take(` \n${event}\r\n`, { 'content-type': 'application/json' })).toBe(event);
    expect(take(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(event)]))).toBe(event);
  });

  it('is refused where it is none', () => {
    expect(take(null)).toEqual(['required']);
    expect(take('')).toEqual(['malformed_json']);
    expect(take('{"event_id":')).toEqual(['malformed_json']);
    expect(take(`${event}${event}`)).toEqual(['malformed_json']);
    expect(take(`[${event}]`)).toEqual(['wrong_type']);
    expect(take(JSON.stringify(toolCall({ attributes: { much: 'x'.repeat(5000) } })))).toEqual(['too_big']);
    expect(take(Buffer.from([0xff, 0xfe]))).not.toBe('');
  });

  it('names the event that is refused', () => {
    expect(takeMessage({ value: Buffer.from(event.replace('tool_call', 'nothing')), headers: {} }, new EventTape(), LIMITS)).toMatchObject({ eventId: 'e-1' });
  });
});

describe('a structured CloudEvent', () => {
  const type = { 'content-type': 'application/cloudevents+json; charset=UTF-8' };

  it('carries the event as its data', () => {
    expect(take(`{"specversion":"1.0","id":"x","source":"/g","type":"audit","data":${event}}`, type)).toBe(event);
    expect(take(JSON.stringify({ specversion: '1.0', id: 'x', source: '/g', type: 'audit', data_base64: Buffer.from(event).toString('base64') }), type)).toBe(event);
  });

  it('is refused where it is none', () => {
    expect(take(event, type)).toContain('required');
    expect(take('{', type)).toEqual(['malformed_json']);
    expect(take('[]', { 'content-type': 'application/cloudevents-batch+json' })).toEqual(['unsupported']);
    expect(take('x', { 'content-type': 'application/cloudevents+avro' })).toEqual(['unsupported']);
  });
});

describe('a binary CloudEvent', () => {
  it('has the event as its value', () => {
    expect(take(event, ce)).toBe(event);
    expect(take(event, { ...ce, 'content-type': Buffer.from('application/json') })).toBe(event);
  });

  it('is refused where it is none', () => {
    expect(take(event, { ce_specversion: '0.3' })).toEqual(['required', 'required', 'required', 'not_allowed']);
    expect(take(event, { ...ce, ce_type: '' })).toEqual(['required']);
    expect(take(event, { ...ce, 'content-type': 'text/plain' })).toEqual(['unsupported']);
  });
});
