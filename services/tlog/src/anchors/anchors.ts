import type { Clock, Log } from '@agent-audit/shared';
import type { AnchorTarget, Offered } from './anchor.ts';
import { TargetQueue, type AnchorFailure } from './target-queue.ts';

export interface AnchorsOptions {
  readonly targets: readonly AnchorTarget[];
  /** Where it is kept what was anchored, so that a restart goes on. */
  readonly stateFolder: string;
  /** Least time between two checkpoints of one log at one target. */
  readonly intervalMs: number;
  /** After the first failure of a log at a target; doubled after each further one. A second, and ten minutes. */
  readonly backoffMs?: { readonly first: number; readonly last: number };
  readonly clock: Clock;
  readonly log: Log;
}

export interface AnchorState {
  readonly target: string;
  /** What is kept there: RFC 3339. */
  readonly logs: readonly { readonly origin: string; readonly size: number; readonly at: string }[];
  /** The latest that nothing has succeeded after. */
  readonly lastError: AnchorFailure | undefined;
}

/**
 * Takes checkpoints to places outside of this host. Nothing waits for it: the newest checkpoint of a log replaces one that waits, and
 * a target that is away is tried again and again, apart from the others.
 */
export class Anchors {
  readonly #queues: readonly { readonly name: string; readonly queue: TargetQueue }[];

  constructor({ targets, stateFolder, intervalMs, backoffMs = { first: 1000, last: 600_000 }, clock, log }: AnchorsOptions) {
    this.#queues = targets.map((target) => ({ name: target.name, queue: new TargetQueue({ target, stateFolder, intervalMs, backoffMs, clock, log }) }));
  }

  /** Never waits, never throws. What is not newer than what was anchored is only compared with it. */
  offer(offered: Offered): void {
    for (const { queue } of this.#queues) queue.offer(offered);
  }

  /** C2SP cosignature lines, each with its newline, collected for exactly the checkpoint of that size; they last over restarts until a larger one is anchored. */
  cosignatures(origin: string, size: number): readonly string[] {
    return this.#queues.flatMap(({ queue }) => queue.cosignatures(origin, size));
  }

  state(): AnchorState[] {
    return this.#queues.map(({ name, queue }) => ({ target: name, logs: queue.anchored().map(({ origin, size, at }) => ({ origin, size, at })), lastError: queue.failure() }));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#queues.map(({ queue }) => queue.stop()));
  }
}
