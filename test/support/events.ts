import type { AuditEvent } from '@agent-audit/schemas';

/** The moment around which tests let things happen, in nanoseconds: 2026-03-01T12:00:00Z, a full hour. */
export const NOON = 1_772_366_400_000_000_000n;
export const SECOND = 1_000_000_000n;
export const HOUR = 3600n * SECOND;

/** All time that can be recorded. */
export const EVER = 'from=1900-01-01T00:00:00Z&to=2262-04-11T23:47:16.854775807Z';

let made = 0;

/** A tool call that is valid and as small as can be; what is given replaces whole fields. */
export function toolCall(fields: Partial<AuditEvent> = {}): AuditEvent {
  made++;
  return {
    event_id: `evt-${made}`,
    time: at(NOON + BigInt(made) * SECOND),
    kind: 'tool_call',
    agent: { id: 'agent:billing' },
    tool: { name: 'search_invoices' },
    action: 'query',
    outcome: { status: 'success' },
    ...fields,
  };
}

export function dataAccess(fields: Partial<AuditEvent> = {}): AuditEvent {
  const { tool: _, ...call } = toolCall();
  return { ...call, kind: 'data_access', resources: [{ uri: 'postgres://db/billing', type: 'table' }], action: 'read', ...fields };
}

/** RFC 3339 of nanoseconds since the epoch, always nine digits. */
export function at(ns: bigint): string {
  const seconds = ns / SECOND - (ns % SECOND < 0n ? 1n : 0n);
  const nanos = ns - seconds * SECOND;
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, -5)}.${String(nanos).padStart(9, '0')}Z`;
}

/** The window [from, to) as query parameters. */
export function between(from: bigint, to: bigint): string {
  return `from=${at(from)}&to=${at(to)}`;
}

export function ndjson(events: readonly unknown[]): string {
  return events.map((event) => `${typeof event === 'string' ? event : JSON.stringify(event)}\n`).join('');
}

/** The day around noon, in which events happen that do not say when. */
export const DAY = between(NOON - 12n * HOUR, NOON + 12n * HOUR);

/** Byte order of UTF-8, which is what a database sorts by. */
export function byUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** In the order of answers. Times of test events are all written alike, so their text sorts as they do. */
export function inOrder(events: readonly AuditEvent[]): AuditEvent[] {
  return events.toSorted((a, b) => byUtf8(a.time, b.time) || byUtf8(a.agent.id, b.agent.id) || byUtf8(a.event_id, b.event_id));
}
