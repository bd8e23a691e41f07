/**
 * Which of an emitter's counters a number belongs to, as the projections of `events` have it. An agent that starts again
 * says so by another `agent.instance_id`, and counts from its own start. A gateway or resource sees many agents; whose
 * instance they are says nothing about its counter. Empty where there is one counter for all.
 */
export const INSTANCE = "if(vantage = 'gateway' OR vantage = 'resource', '', agent_instance_id)";

/** The same of what an event or a heartbeat says. */
export function instanceOf(vantage: string | undefined, instanceId: string | undefined): string {
  return vantage === 'gateway' || vantage === 'resource' ? '' : (instanceId ?? '');
}

export interface EmitterInstance {
  readonly emitter: string;
  /** Empty where the emitter has one counter for all. */
  readonly instance: string;
}

/** Neither may hold a line break. */
export function keyOf({ emitter, instance }: EmitterInstance): string {
  return `${emitter}\n${instance}`;
}

/** Sequence numbers to a bucket of the projection `instance_sequences`. */
export const BUCKET = 4096;
