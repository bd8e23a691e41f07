import type { AuditEvent } from '@agent-audit/schemas';
import { at, SECOND } from './events.ts';

/** As far as it is needed: one run of an agent that calls tools, as tau-bench (MIT) records it. */
export interface TauBenchRun {
  readonly task_id: number;
  readonly trial: number;
  readonly traj: readonly TauBenchMessage[];
}

interface TauBenchMessage {
  readonly role: string;
  readonly content: string | null;
  readonly tool_call_id?: string;
  readonly tool_calls?: readonly { readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }[];
}

export interface MappedCall {
  /** The event's JSON text, with the arguments in it as the model wrote them. */
  readonly raw: string;
  readonly eventId: string;
  /** The model's own text of the arguments. */
  readonly arguments: string;
  readonly result: string;
  readonly agentId: string;
}

/**
 * Every tool call of the runs as an event. The recording has no times, so each call gets one second after the one
 * before; the arguments go in as the very text that the model wrote.
 *
 * @param startNs time of the first call, nanoseconds since the Unix epoch
 */
export function mapTauBench(runs: readonly TauBenchRun[], startNs: bigint): MappedCall[] {
  const calls: MappedCall[] = [];
  for (const { task_id: task, trial, traj } of runs) {
    // Call ids repeat between runs, so an event's id is its place.
    let sequence = 0;
    for (const [i, message] of traj.entries()) {
      for (const call of message.tool_calls ?? []) {
        const result = traj.slice(i + 1).find((later) => later.role === 'tool' && later.tool_call_id === call.id)?.content;
        if (typeof result !== 'string') throw new Error(`task ${task}, trial ${trial}: no result of ${call.id}`);
        const emitter = `tau-bench-${task}-${trial}`;
        const event: AuditEvent = {
          event_id: `${emitter}-${sequence}`,
          time: at(startNs + BigInt(calls.length) * SECOND),
          kind: 'tool_call',
          agent: { id: `agent:airline-${task % 10}`, name: 'Airline agent', model: { id: 'gpt-4o' } },
          session_id: emitter,
          tool: { name: call.function.name, call_id: call.id, arguments: ARGUMENTS, result },
          action: 'invoke',
          outcome: result.startsWith('Error') ? { status: 'failure', message: result } : { status: 'success' },
          source: { emitter, sequence: sequence++ },
        };
        const raw = JSON.stringify(event).replace(JSON.stringify(ARGUMENTS), () => call.function.arguments);
        calls.push({ raw, eventId: event.event_id, arguments: call.function.arguments, result, agentId: event.agent.id });
      }
    }
  }
  return calls;
}

/** Stands where the arguments go. */
const ARGUMENTS = '\u0001arguments\u0001';
