import { randomUUID } from 'node:crypto';
import { putCollectorRun, type Store } from '@agent-audit/queries';
import type { Clock, Log } from '@agent-audit/shared';

export interface CollectorRunsOptions {
  readonly store: Store;
  readonly collectorId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether events are taken in now. */
  readonly takesIn: () => boolean;
}

const EVERY_MS = 10_000;
const STOP_MS = 2_000;

/**
 * Notes when this collector takes events in, so that afterwards silence can be told from nobody listening. While
 * ClickHouse is away nothing can be noted; the next word covers that time, since a run that goes on was not interrupted.
 */
export class CollectorRuns {
  readonly #options: CollectorRunsOptions;
  #timer: NodeJS.Timeout | undefined;
  /** Undefined while no events are taken in. */
  #run: { readonly runId: string; readonly startedUs: bigint } | undefined;
  #writing: Promise<void> | undefined;

  constructor(options: CollectorRunsOptions) {
    this.#options = options;
  }

  /** Notes it now, and every ten seconds from now on. */
  start(): void {
    this.#timer = setInterval(() => void this.look(), EVERY_MS).unref();
    void this.look();
  }

  /** To be called when no more events are taken in. Never rejects. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const told = (async () => {
      await this.#writing;
      if (this.#run !== undefined) await this.#write(true);
      this.#run = undefined;
    })();
    // A ClickHouse that does not answer must not hold up the stop.
    await Promise.race([told, this.#options.clock.sleep(STOP_MS)]);
  }

  /** One look. Never rejects. */
  async look(): Promise<void> {
    if (!this.#options.takesIn()) {
      this.#run = undefined;
      return;
    }
    this.#run ??= { runId: randomUUID(), startedUs: this.#options.clock.nowMicros() };
    this.#writing ??= this.#write(false).finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  /** Never rejects. */
  async #write(ended: boolean): Promise<void> {
    const { store, collectorId, clock, log } = this.#options;
    try {
      await putCollectorRun(store, { collectorId, ...(this.#run as { runId: string; startedUs: bigint }), seenUs: clock.nowMicros(), ended });
    } catch (error) {
      log.debug({ err: error }, 'could not note that events are taken in; trying again');
    }
  }
}
