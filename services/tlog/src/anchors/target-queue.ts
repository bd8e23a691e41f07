import type { Clock, Log } from '@agent-audit/shared';
import { AnchoredFile, type Anchored } from './anchored.ts';
import { AnchorError, type AnchorTarget, type Offered } from './anchor.ts';

export interface AnchorFailure {
  readonly origin: string;
  /** Of AnchorError, or of the system. */
  readonly code: string;
  readonly message: string;
  /** RFC 3339. */
  readonly at: string;
}

interface Slot {
  readonly origin: string;
  anchored: Anchored | undefined;
  /** Replaced by a newer one while it waits. */
  waiting: Offered | undefined;
  isRunning: boolean;
  /** By the monotonic clock. */
  notBeforeMs: number;
  failures: number;
  failure: AnchorFailure | undefined;
}

export interface TargetQueueOptions {
  readonly target: AnchorTarget;
  readonly stateFolder: string;
  readonly intervalMs: number;
  readonly backoffMs: { readonly first: number; readonly last: number };
  readonly clock: Clock;
  readonly log: Log;
}

/** How long a stop is not noticed by a timer. */
const NAP_MS_MAX = 1000;

/** What goes to one target: of each log at most one checkpoint at a time, and at most one in an interval. */
export class TargetQueue {
  readonly #options: TargetQueueOptions;
  readonly #file: AnchoredFile;
  readonly #slots = new Map<string, Slot>();
  readonly #running = new Set<Promise<void>>();
  readonly #stopped = new AbortController();
  #changed = Promise.withResolvers<void>();

  constructor(options: TargetQueueOptions) {
    this.#options = options;
    this.#file = new AnchoredFile(options.stateFolder, options.target.name);
    try {
      for (const anchored of this.#file.load()) this.#slotOf(anchored.origin).anchored = anchored;
    } catch (error) {
      options.log.warn({ err: error, target: options.target.name }, 'what was anchored before cannot be read; anchoring anew');
    }
    void this.#run();
  }

  offer(offered: Offered): void {
    const { origin, size, root } = offered;
    // An empty log has nothing to hide.
    if (this.#stopped.signal.aborted || size === 0) return;
    const slot = this.#slotOf(origin);
    const { anchored } = slot;
    if (anchored !== undefined && size <= anchored.size) {
      if (size < anchored.size) this.#failed(slot, new AnchorError('anchor_fork', `${origin} has ${size} entries, but was anchored with ${anchored.size}: it was set back`));
      else if (Buffer.from(root).toString('base64') !== anchored.root) this.#failed(slot, new AnchorError('anchor_fork', `${origin} was anchored with another tree of ${size} entries`));
      return;
    }
    const { waiting } = slot;
    if (waiting !== undefined && size <= waiting.size) return;
    slot.waiting = offered;
    if (waiting === undefined) this.#wake();
  }

  cosignatures(origin: string, size: number): readonly string[] {
    const anchored = this.#slots.get(origin)?.anchored;
    return anchored?.size === size ? anchored.cosignatures : [];
  }

  anchored(): Anchored[] {
    return [...this.#slots.values()].flatMap(({ anchored }) => anchored ?? []);
  }

  /** Of those that nothing has succeeded after, the latest. */
  failure(): AnchorFailure | undefined {
    return [...this.#slots.values()].flatMap(({ failure }) => failure ?? []).toSorted((a, b) => (a.at < b.at ? 1 : -1))[0];
  }

  /** Breaks off what is under way; what the system does not let go of is left behind. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#wake();
    if (this.#running.size > 0) await Promise.race([Promise.allSettled(this.#running), this.#options.clock.sleep(NAP_MS_MAX)]);
    await this.#save();
  }

  #slotOf(origin: string): Slot {
    let slot = this.#slots.get(origin);
    if (slot === undefined) this.#slots.set(origin, (slot = { origin, anchored: undefined, waiting: undefined, isRunning: false, notBeforeMs: -Infinity, failures: 0, failure: undefined }));
    return slot;
  }

  #wake(): void {
    this.#changed.resolve();
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stopped.signal.aborted) {
      this.#changed = Promise.withResolvers();
      const waitMs = this.#startDue();
      await (waitMs === undefined ? this.#changed.promise : Promise.race([this.#changed.promise, clock.sleep(Math.min(waitMs, NAP_MS_MAX))]));
    }
  }

  /** Starts what may start. @returns milliseconds until something more may, undefined where that is not a question of time */
  #startDue(): number | undefined {
    const { target, clock } = this.#options;
    const now = clock.monotonicMs();
    // Who waits longest is first.
    const waiting = [...this.#slots.values()].filter((slot) => slot.waiting !== undefined && !slot.isRunning).toSorted((a, b) => a.notBeforeMs - b.notBeforeMs);
    for (const slot of waiting) {
      if (this.#running.size >= target.concurrency) return undefined;
      if (slot.notBeforeMs > now) return slot.notBeforeMs - now;
      const running = this.#anchor(slot).finally(() => {
        this.#running.delete(running);
        this.#wake();
      });
      this.#running.add(running);
    }
    return undefined;
  }

  /** Never rejects. */
  async #anchor(slot: Slot): Promise<void> {
    const { target, intervalMs, backoffMs, clock, log } = this.#options;
    const offered = slot.waiting as Offered;
    const startedMs = clock.monotonicMs();
    slot.waiting = undefined;
    slot.isRunning = true;
    try {
      const cosignatures = await target.anchor(offered, slot.anchored?.size ?? 0, this.#stopped.signal);
      slot.anchored = { origin: slot.origin, size: offered.size, root: Buffer.from(offered.root).toString('base64'), cosignatures, at: this.#time() };
      if (slot.failures > 0) log.info({ target: target.name, origin: slot.origin, size: offered.size }, 'checkpoints of a log are anchored again');
      // It may have been offered again meanwhile.
      const again = slot.waiting as Offered | undefined;
      if (again !== undefined && again.size <= offered.size) slot.waiting = undefined;
      slot.failures = 0;
      slot.failure = undefined;
      slot.notBeforeMs = startedMs + intervalMs;
      void this.#save();
    } catch (error) {
      slot.waiting ??= offered;
      if (this.#stopped.signal.aborted) return;
      this.#failed(slot, error as Error);
      const waitMs = Math.min(backoffMs.first * 2 ** slot.failures, backoffMs.last);
      slot.failures++;
      // Not all at once, after an outage of many logs' target.
      slot.notBeforeMs = clock.monotonicMs() + waitMs * (0.5 + Math.random() / 2);
    } finally {
      slot.isRunning = false;
    }
  }

  /** Logged when it is news. */
  #failed(slot: Slot, error: Error): void {
    const { target, log } = this.#options;
    const { code = 'anchor_failed' } = error as { code?: string };
    if (slot.failure?.code !== code) log.warn({ target: target.name, origin: slot.origin, code, reason: error.message }, 'a checkpoint of a log cannot be anchored');
    slot.failure = { origin: slot.origin, code, message: error.message, at: this.#time() };
  }

  async #save(): Promise<void> {
    try {
      await this.#file.save(() => this.anchored());
    } catch (error) {
      this.#options.log.warn({ err: error, target: this.#options.target.name }, 'what was anchored cannot be written down; after a restart it is anchored again');
    }
  }

  #time(): string {
    return new Date(Number(this.#options.clock.nowMicros() / 1000n)).toISOString();
  }
}
