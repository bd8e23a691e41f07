import { readCloudEvent, type EventTape, type FieldError, type ReadLimits } from '@agent-audit/schemas';
import { takeCloudTrail } from './take-cloudtrail.ts';

/**
 * Reads bytes that were refused once, in whichever form they came, and puts their event on the tape.
 *
 * Quarantine keeps what was refused: an event, a CloudTrail record, or, where the envelope itself was at fault, a whole
 * CloudEvent. Our own envelope is strict, so whatever has the names of another form can be nothing else.
 *
 * @returns why it is still refused
 */
export function takeKept(tape: EventTape, raw: Uint8Array, limits: ReadLimits): readonly FieldError[] | undefined {
  switch (formOf(raw)) {
    case 'event':
      return tape.take(raw, 0, raw.length, limits)?.errors;
    case 'cloudtrail':
      return takeCloudTrail(tape, raw, limits)?.errors;
    case 'cloudevent': {
      const found = readCloudEvent(raw);
      return found.ok ? tape.take(found.bytes, found.range.start, found.range.end, limits)?.errors : found.errors;
    }
  }
}

function formOf(raw: Uint8Array): 'event' | 'cloudtrail' | 'cloudevent' {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('utf8'));
  } catch {
    return 'event';
  }
  const has = (name: string): boolean => typeof value === 'object' && value !== null && Object.hasOwn(value, name);
  if (has('event_id')) return 'event';
  if (has('specversion')) return 'cloudevent';
  return has('eventID') || (has('eventName') && has('eventSource')) ? 'cloudtrail' : 'event';
}
