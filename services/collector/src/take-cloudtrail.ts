import { cloudTrailToEvent, scanEvent, scanFieldError, type EventTape, type FieldError, type ReadLimits } from '@agent-audit/schemas';

declare global {
  /** ECMAScript's JSON.parse source text access, which TypeScript's library does not list yet. */
  interface JSON {
    parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
    rawJSON(text: string): object;
  }
}

/**
 * Maps one CloudTrail record and puts its event on the tape.
 *
 * @returns why it was not put there, with the `event_id` where the record has got as far as having one
 */
export function takeCloudTrail(tape: EventTape, record: Uint8Array, limits: ReadLimits): { errors: readonly FieldError[]; eventId?: string } | undefined {
  const scan = scanEvent(record, 0, record.length, limits.nesting);
  if (!scan.ok) return { errors: [scanFieldError(scan)] };
  const mapped = cloudTrailToEvent(JSON.parse(Buffer.from(record.buffer, record.byteOffset, record.length).toString('utf8'), exactly));
  if (!mapped.ok) return { errors: mapped.errors };
  const raw = Buffer.from(JSON.stringify(mapped.event));
  // The record is two levels further down in the event than it was by itself.
  const refused = tape.take(raw, 0, raw.length, { ...limits, nesting: limits.nesting + 2 });
  return refused === undefined ? undefined : { errors: refused.errors, eventId: mapped.event.event_id };
}

/** Numbers that a double does not hold keep their digits: identifiers of 64 bits above all. */
function exactly(_key: string, value: unknown, { source }: { source?: string }): unknown {
  return typeof value !== 'number' || source === undefined || Number.isSafeInteger(value) || String(value) === source ? value : JSON.rawJSON(source);
}
