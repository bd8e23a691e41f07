import type { Action, Agent, AuditEvent, DelegationLink } from '@agent-audit/schemas';
import { hex, type Cast } from './cast.ts';

export interface Step {
  readonly atMs: number;
  readonly agent: Agent;
  readonly action: Action;
  readonly tool?: AuditEvent['tool'];
  readonly resources?: AuditEvent['resources'];
  readonly outcome?: AuditEvent['outcome'];
  readonly decision?: AuditEvent['decision'];
  readonly network?: AuditEvent['network'];
  readonly durationMs?: number;
  /** Seen by the database instead of the gateway. */
  readonly byDatabase?: boolean;
  /** Span of the event that caused this one. */
  readonly cause?: string;
}

/** Emitters have counted for a while before the scenario begins; numbers that look like an event's id would confuse. */
const FIRST_SEQUENCE = { gateway: 48_101, database: 7_730 };

/** Turns steps into events: ids, delegation, traces and sequence numbers. Deterministic, given the run's id. */
export class Recorder {
  readonly events: AuditEvent[] = [];
  readonly #runId: string;
  readonly #cast: Cast;
  readonly #next: Map<string, number>;

  constructor(runId: string, cast: Cast) {
    this.#runId = runId;
    this.#cast = cast;
    this.#next = new Map([[cast.gateway, FIRST_SEQUENCE.gateway], [cast.database, FIRST_SEQUENCE.database]]);
  }

  /** @param session names the piece of work: its session, trace and delegations. @returns the event's span */
  add(session: string, step: Step): string {
    const { gateway, database } = this.#cast;
    const emitter = step.byDatabase === true ? database : gateway;
    const id = `${this.#runId}-${String(this.events.length + 1).padStart(4, '0')}`;
    const span = hex(`span ${id}`, 16);
    this.events.push({
      event_id: id,
      time: new Date(step.atMs).toISOString(),
      kind: step.tool === undefined ? 'data_access' : 'tool_call',
      agent: { ...step.agent, instance_id: `${step.agent.id}/${hex(session, 6)}` },
      session_id: session,
      trace_id: hex(`trace ${session}`, 32),
      span_id: span,
      ...(step.cause === undefined ? {} : { parent_span_id: step.cause }),
      on_behalf_of: this.#chain(session, step.agent),
      ...(step.tool === undefined ? {} : { tool: { call_id: `call-${id}`, ...step.tool } }),
      ...(step.resources === undefined ? {} : { resources: step.resources }),
      action: step.action,
      outcome: step.outcome ?? { status: 'success' },
      ...(step.decision === undefined ? {} : { decision: step.decision }),
      ...(step.network === undefined ? {} : { network: step.network }),
      duration_ms: step.durationMs ?? 40 + (this.events.length % 7) * 13,
      source: { emitter, sequence: this.#sequence(emitter), vantage: step.byDatabase === true ? 'resource' : 'gateway' },
    });
    return span;
  }

  /** Events that happened and never arrived: their numbers are used up. */
  lose(emitter: string, count: number): void {
    this.#next.set(emitter, (this.#next.get(emitter) ?? 1) + count);
  }

  #sequence(emitter: string): number {
    const sequence = this.#next.get(emitter) ?? 1;
    this.#next.set(emitter, sequence + 1);
    return sequence;
  }

  /** The user delegates to the coordinator, the coordinator to its sub-agents. */
  #chain(session: string, agent: Agent): DelegationLink[] {
    const { user, coordinator } = this.#cast;
    const first = `dlg-${hex(`user ${session}`, 10)}`;
    const links: DelegationLink[] = [{ type: 'user', id: user, delegation_id: first, scopes: ['tickets:read', 'tickets:reply'] }];
    if (agent.id === coordinator.id) return links;
    return [...links, { type: 'agent', id: coordinator.id, delegation_id: `dlg-${hex(`${agent.id} ${session}`, 10)}`, parent_delegation_id: first, scopes: ['tickets:read', 'tickets:reply'] }];
  }
}
