import { validateEvent, type AuditEvent } from '@agent-audit/schemas';
import { describe, expect, it } from 'vitest';
import { castOf } from './cast.ts';
import { incident, INCIDENT_MS, LOST } from './incident.ts';

const startMs = Date.parse('2026-11-22T14:00:00Z');
const events = incident({ runId: 't1', startMs });
const cast = castOf('t1');
const isIncident = (event: AuditEvent): boolean => event.session_id === cast.session;

describe('incident', () => {
  it('holds valid events, by time, each under an id of its own', () => {
    for (const event of events) expect(validateEvent(event)).toMatchObject({ ok: true });
    expect(events.map(({ time }) => time)).toEqual(events.map(({ time }) => time).toSorted());
    expect(new Set(events.map((event) => event.event_id)).size).toBe(events.length);
  });

  it('is the same for the same options, and another for another run', () => {
    expect(JSON.stringify(incident({ runId: 't1', startMs }))).toBe(JSON.stringify(events));
    const ids = new Set(events.flatMap((event) => [event.event_id, event.agent.id, event.session_id, event.source?.emitter]));
    for (const event of incident({ runId: 't2', startMs })) {
      for (const id of [event.event_id, event.agent.id, event.session_id, event.source?.emitter]) expect(ids).not.toContain(id);
    }
  });

  it('keeps to its time: ordinary work before, the incident after the start', () => {
    for (const event of events) {
      const offsetMs = Date.parse(event.time) - startMs;
      if (isIncident(event)) expect(offsetMs >= 0 && offsetMs <= INCIDENT_MS).toBe(true);
      else expect(offsetMs < 0 && offsetMs > -48 * 3_600_000).toBe(true);
    }
  });

  it('loses events of the gateway, once, and of no one else', () => {
    const missing = new Map<string, number>();
    const last = new Map<string, number>();
    for (const { source } of events) {
      const { emitter = '', sequence = 0 } = source ?? {};
      const gap = sequence - (last.get(emitter) ?? sequence - 1) - 1;
      if (gap > 0) missing.set(emitter, (missing.get(emitter) ?? 0) + gap);
      last.set(emitter, sequence);
    }
    expect([...missing]).toEqual([[cast.gateway, LOST]]);
  });

  it('delegates from the user through the coordinator to the sub-agents', () => {
    for (const { agent, on_behalf_of: chain = [] } of events) {
      expect(chain.map(({ id }) => id)).toEqual(agent.id === cast.coordinator.id ? [cast.user] : [cast.user, cast.coordinator.id]);
      if (chain[1] !== undefined) expect(chain[1].parent_delegation_id).toBe(chain[0]?.delegation_id);
    }
  });

  it('has a leak to a host, and data with personal details, that no earlier event knows', () => {
    const before = JSON.stringify(events.filter((event) => !isIncident(event)));
    expect(before).not.toContain(cast.unknownHost);
    expect(before).not.toContain('pii');
    const leak = events.filter((event) => event.network?.destination_host === cast.unknownHost);
    expect(leak.map(({ outcome, network }) => [outcome.status, network?.bytes_out])).toEqual([['denied', 0], ['success', 412_776]]);
  });
});
