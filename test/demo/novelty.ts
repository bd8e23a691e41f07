/**
 * What an agent did for the first time, found by asking the record for anything earlier. What the record does not
 * hold cannot be known, so "first" always means: first that was recorded.
 */
import type { AuditEvent } from '@agent-audit/schemas';

type Params = readonly (readonly [name: string, value: string])[];

/** One question to the record: with no event in answer, the claim holds. */
export interface Probe {
  readonly claim: string;
  /** Parameters of `GET /v1/events`, but for the window. */
  readonly params: Params;
}

/** What could be new about an event. The window of each question ends where the event begins. */
export function probesOf(event: AuditEvent): Probe[] {
  const own = ['agent_id', event.agent.id] as const;
  const probes: Probe[] = [];
  if (event.tool !== undefined) probes.push({ claim: `used ${event.tool.name}`, params: [own, ['tool', event.tool.name]] });
  for (const prefix of new Set((event.resources ?? []).map(({ uri }) => collectionOf(uri)))) {
    probes.push({ claim: `touched anything under ${prefix}`, params: [own, ['resource_prefix', prefix]] });
  }
  for (const label of new Set((event.resources ?? []).flatMap(({ classifications = [] }) => classifications))) {
    probes.push({ claim: `touched data marked ${label}`, params: [own, ['classification', label]] });
  }
  const host = event.network?.destination_host ?? event.network?.destination_ip;
  // A refused attempt is no contact.
  if (host !== undefined) {
    const claim = event.outcome.status === 'denied' ? `tried to reach ${host}` : `spoke to ${host}`;
    const contacts = event.outcome.status === 'denied' ? [] : [['-outcome', 'denied'] as const];
    probes.push({ claim, params: [own, ['destination', host], ...contacts] });
  }
  return probes;
}

/** Single tickets and rows are new all the time; what they are part of is not. */
function collectionOf(uri: string): string {
  const slash = uri.lastIndexOf('/');
  return slash > uri.indexOf('://') + 2 ? uri.slice(0, slash + 1) : uri;
}
