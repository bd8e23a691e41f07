import { dayOf, dropOrphanedReplays, dropQuarantine, momentOfShare, quarantineDays, type DropReason, type Store } from '@agent-audit/queries';
import type { Clock, Log, Telemetry } from '@agent-audit/shared';

export interface QuarantineBoundsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** On disk, over all tenants. */
  readonly maxBytes: number;
  readonly maxDays: number;
}

const INTERVAL_MS = 60_000;
const DAY_US = 86_400_000_000n;
/** A clock that was wrong at a start, or set to something wrong, is mostly noticed in this time. */
const STEADY_MS = 3_600_000;
const SET_MS = 60_000;
/** A day that is too large by itself is cut to this share of the bound, so that it is not rewritten at every look. */
const CUT_TO = 0.9;

/**
 * Keeps quarantine within its bounds: whoever sends what is refused must not be able to fill the disk. The oldest go
 * first, by whole days; only the latest day is cut within. What goes is counted for its tenant before, and stays
 * in `completeness.quarantined`. By age nothing goes before the clock was steady for an hour: a clock a year ahead would
 * take all of it.
 */
export class QuarantineBounds {
  readonly #options: QuarantineBoundsOptions;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  /** Between wall clock and monotonic clock, in milliseconds; it changes where the clock is set. */
  #offsetMs = NaN;
  #steadySinceMs = NaN;

  constructor(options: QuarantineBoundsOptions) {
    this.#options = options;
  }

  /** Looks now and every minute from now on. */
  start(): void {
    const look = (): void => {
      this.#looking ??= this.enforce()
        .catch((error: unknown) => this.#options.log.warn({ err: error }, 'could not look after the size of quarantine; trying again'))
        .finally(() => {
          this.#looking = undefined;
        });
    };
    this.#timer = setInterval(look, INTERVAL_MS).unref();
    look();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** One look. @throws StoreError */
  async enforce(): Promise<void> {
    const { store, clock, telemetry, maxBytes, maxDays } = this.#options;
    await dropOrphanedReplays(store);
    const oldest = this.#isClockSteady() ? dayOf(clock.nowMicros() - BigInt(maxDays) * DAY_US) : '';
    const days = await quarantineDays(store);
    for (const { day } of days) if (day < oldest) await this.#drop(day, 'age');
    const left = days.filter(({ day }) => day >= oldest);
    let total = left.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { day, bytes } of left.slice(0, -1)) {
      if (total <= maxBytes) break;
      await this.#drop(day, 'size');
      total -= bytes;
    }
    const latest = left.at(-1);
    if (total > maxBytes && latest !== undefined) {
      await this.#drop(latest.day, 'size', await momentOfShare(store, latest.day, 1 - (CUT_TO * maxBytes) / total));
      total = CUT_TO * maxBytes;
    }
    telemetry.quarantineSize(total);
  }

  #isClockSteady(): boolean {
    const { clock } = this.#options;
    const now = clock.monotonicMs();
    const offset = Number(clock.nowMicros() / 1000n) - now;
    // Not below: true of what is not a number yet, too.
    if (!(Math.abs(offset - this.#offsetMs) < SET_MS)) this.#steadySinceMs = now;
    this.#offsetMs = offset;
    return now - this.#steadySinceMs >= STEADY_MS;
  }

  async #drop(day: string, reason: DropReason, beforeUs?: bigint): Promise<void> {
    const { store, clock, log, telemetry } = this.#options;
    const dropped = await dropQuarantine(store, day, reason, clock.nowMicros(), beforeUs);
    telemetry.quarantineDropped(reason, dropped.entries, dropped.bytes);
    log.warn({ day, reason, ...dropped }, 'dropped the oldest refused events from quarantine');
  }
}
