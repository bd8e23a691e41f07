import { eventLayout, type EventTape } from '@agent-audit/schemas';

const EVENT_ID = eventLayout().leaf('/event_id');

/** The `event_id` of an event on a tape; it is ASCII. */
export function eventIdAt(tape: EventTape, event: number): string {
  const at = 2 * (tape.frame(event) + EVENT_ID);
  return Buffer.from(tape.source(event).subarray(tape.ints[at], tape.ints[at + 1])).toString('latin1');
}
