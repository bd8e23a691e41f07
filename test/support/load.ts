import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEvent } from '@agent-audit/schemas';
import { at, EVER, ndjson, NOON, SECOND, toolCall } from './events.ts';
import { Oracle, type Verdict } from './oracle.ts';
import type { Random } from './random.ts';
import type { ServiceClient } from './service.ts';
import { Tenant, type Shown } from './tenant.ts';

const WORKERS = 6;
const BATCH_MAX = 8;
/** In every event's arguments, so that a log can be searched for it. */
export const CONTENT = 'confidential-content-of-an-event';

interface Worker {
  readonly emitter: string;
  sequence: number;
  /** Sent and not acknowledged: as a careful client does, it is sent again before anything else. */
  pending: AuditEvent[] | undefined;
}

/** Clients that record as fast as they are answered, and repeat what was not acknowledged. */
export class Load {
  readonly oracle = new Oracle();
  /** Requests that were answered, but not with an acknowledgement, by status. */
  readonly refusals = new Map<number, number>();
  readonly #random: Random;
  readonly #workers: Worker[];
  #running: Promise<void>[] = [];
  #stopping = false;

  constructor(random: Random) {
    this.#random = random;
    this.#workers = Array.from({ length: WORKERS }, (_, i) => ({ emitter: `gw-${i}`, sequence: 0, pending: undefined }));
  }

  /** Starts to send to a service; the load of one before must have been stopped. */
  start(service: ServiceClient): void {
    this.#stopping = false;
    this.#running = this.#workers.map(async (worker) => {
      while (!this.#stopping) if (!(await this.#sendOne(service, worker))) await sleep(20);
    });
  }

  /** Resolves when the requests under way have ended, one way or another. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** Sends what was never acknowledged, until it is. */
  async finish(service: ServiceClient): Promise<void> {
    for (const worker of this.#workers) {
      while (worker.pending !== undefined) if (!(await this.#sendOne(service, worker))) await sleep(50);
    }
  }

  /** Whether the record holds what it must, and log positions without holes. */
  async check(service: ServiceClient): Promise<Verdict & { readonly holes: number }> {
    const shown = await everything(service);
    const positions = shown.map(({ recorded }) => recorded.log_index).toSorted((a, b) => a - b);
    return {
      ...this.oracle.check(shown.map(({ event, raw }) => ({ id: event.event_id, raw }))),
      holes: positions.filter((position, i) => position !== i).length,
    };
  }

  /** @returns whether the events were acknowledged */
  async #sendOne(service: ServiceClient, worker: Worker): Promise<boolean> {
    const events = (worker.pending ??= this.#newBatch(worker));
    try {
      const answer = await service.post(ndjson(events), { type: 'application/x-ndjson' });
      if (answer.status !== 202) {
        this.refusals.set(answer.status, (this.refusals.get(answer.status) ?? 0) + 1);
        return false;
      }
      const { accepted, duplicates } = answer.json() as { accepted: number; duplicates: number };
      if (accepted + duplicates !== events.length) throw new Error(`a part of a batch was dropped: ${answer.text}`);
    } catch (error) {
      // The connection broke, and nobody knows what became of the events.
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      return false;
    }
    for (const { event_id: id } of events) this.oracle.acknowledges(id);
    worker.pending = undefined;
    return true;
  }

  #newBatch(worker: Worker): AuditEvent[] {
    return Array.from({ length: 1 + this.#random.int(BATCH_MAX) }, () => {
      const sequence = worker.sequence++;
      const event = toolCall({
        event_id: `${worker.emitter}-${sequence}`,
        time: at(NOON + BigInt(sequence) * SECOND),
        agent: { id: `agent-${this.#random.int(4)}` },
        tool: { name: 'search', arguments: { q: CONTENT, n: sequence } },
        source: { emitter: worker.emitter, sequence },
      });
      this.oracle.sends(event.event_id, JSON.stringify(event));
      return event;
    });
  }
}

function tenantOf(service: ServiceClient): Tenant {
  return new Tenant(service, 'default', service.adminKey);
}

export function everything(service: ServiceClient): Promise<Shown[]> {
  return tenantOf(service).everything();
}

/** The status of completeness over all time. */
export async function completeness(service: ServiceClient): Promise<string> {
  return (await tenantOf(service).completeness(`/v1/events?${EVER}`)).status;
}
