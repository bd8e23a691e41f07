import { bomLength, CLOUDEVENT_TYPE, readCloudEvent, type EventTape, type FieldError, type ReadLimits } from '@agent-audit/schemas';
import type { IHeaders, KafkaMessage } from '@agent-audit/shared';
import { eventIdOf, mediaType, trim } from './intake.ts';

/** Why a message is no event. */
export interface Poison {
  readonly eventId: string | undefined;
  readonly errors: readonly FieldError[];
}

/**
 * Reads the one event of a message onto the tape: JSON as it is, or a CloudEvent in structured or binary content mode
 * (CloudEvents Kafka protocol binding 1.0.2, section 3).
 *
 * @returns undefined when it was accepted
 */
export function takeMessage({ value, headers = {} }: Pick<KafkaMessage, 'value' | 'headers'>, tape: EventTape, limits: ReadLimits): Poison | undefined {
  if (value === null) return poison('required', 'the message has no value (a tombstone): it must be an event');
  const type = headers['content-type'];
  if (type !== undefined) {
    const media = mediaType(text(type));
    if (media === CLOUDEVENT_TYPE) return takeStructured(value, tape, limits);
    if (media.startsWith('application/cloudevents')) return poison('unsupported', `content-type must be ${CLOUDEVENT_TYPE}: one CloudEvent per message, as JSON`);
  }
  if (headers['ce_specversion'] !== undefined) {
    const wrong = binaryErrors(headers);
    if (wrong.length > 0) return { eventId: undefined, errors: wrong };
  }
  return take(value, tape, limits);
}

function take(bytes: Uint8Array, tape: EventTape, limits: ReadLimits): Poison | undefined {
  const [start, end] = trim(bytes, bomLength(bytes), bytes.length);
  const refused = tape.take(bytes, start, end, limits);
  return refused === undefined ? undefined : { eventId: eventIdOf(refused.value), errors: refused.errors };
}

function takeStructured(value: Buffer, tape: EventTape, limits: ReadLimits): Poison | undefined {
  const found = readCloudEvent(value);
  if (!found.ok) return { eventId: undefined, errors: found.errors };
  return take(found.bytes.subarray(found.range.start, found.range.end), tape, limits);
}

/** Attributes are headers with `ce_` before their names; the value is the data itself. */
function binaryErrors(headers: IHeaders): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['ce_id', 'ce_source', 'ce_type']) {
    if (headers[name] === undefined || text(headers[name]) === '') errors.push({ path: '', code: 'required', message: `CloudEvents 1.0 requires the header \`${name}\`` });
  }
  if (text(headers['ce_specversion']) !== '1.0') errors.push({ path: '', code: 'not_allowed', message: 'header `ce_specversion` must be 1.0, the version understood here' });
  const type = mediaType(text(headers['content-type']));
  if (type !== '' && type !== 'application/json' && !type.endsWith('+json')) {
    errors.push({ path: '', code: 'unsupported', message: 'header `content-type` must be application/json or another +json type: the data is an audit event' });
  }
  return errors;
}

/** One that occurs more than once counts as it first occurs. */
const text = (header: IHeaders[string]): string => String((Array.isArray(header) ? header[0] : header) ?? '');

const poison = (code: FieldError['code'], message: string): Poison => ({ eventId: undefined, errors: [{ path: '', code, message }] });
