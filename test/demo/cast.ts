import { createHash } from 'node:crypto';
import type { Agent } from '@agent-audit/schemas';

/** Who and what takes part. Names carry the run's id, so that each run is a history of its own on a shared service. */
export interface Cast {
  readonly user: string;
  readonly coordinator: Agent;
  readonly triage: Agent;
  readonly drafter: Agent;
  readonly session: string;
  /** Sees every tool call; the emitter that loses events. */
  readonly gateway: string;
  /** Sees what the customer database was asked. */
  readonly database: string;
  /** Where the data goes. */
  readonly unknownHost: string;
}

export function castOf(runId: string): Cast {
  const model = { provider: 'example', id: 'example-large-2' };
  const coordinator = `agent:support-coordinator-${runId}`;
  return {
    user: 'user:dana@example.com',
    coordinator: { id: coordinator, name: 'Support coordinator', version: '3.2.0', model },
    triage: { id: `agent:ticket-triage-${runId}`, name: 'Ticket triage', version: '1.9.1', parent_agent_id: coordinator, model },
    drafter: { id: `agent:reply-drafter-${runId}`, name: 'Reply drafter', version: '1.4.0', parent_agent_id: coordinator, model },
    session: `session-${runId}`,
    gateway: `tool-gateway-${runId}`,
    database: `crm-database-${runId}`,
    unknownHost: 'collect.invoice-sync.example',
  };
}

/** Stable hex digits out of a name: trace ids have 32, span ids 16. */
export function hex(name: string, digits: number): string {
  return createHash('sha256').update(name).digest('hex').slice(0, digits);
}
