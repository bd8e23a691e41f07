import { randomUUIDv7 } from 'node:crypto';
import { encodeQuarantine, StoreError, type Store } from '@agent-audit/queries';
import type { FieldError } from '@agent-audit/schemas';
import type { Clock } from '@agent-audit/shared';
import { NotRecorded } from './recorder.ts';

export interface QuarantineOptions {
  readonly store: Store;
  readonly collectorId: string;
  readonly clock: Clock;
}

export interface RefusedEvent {
  /** How it came in, where it is not the same for all. */
  readonly origin?: string;
  readonly eventId: string | undefined;
  readonly errors: readonly FieldError[];
  readonly raw: Uint8Array;
}

/** Where refused events go: kept with their bytes and reasons, apart from the record. */
export class Quarantine {
  readonly #options: QuarantineOptions;

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /**
   * Resolves once the events are on disk.
   *
   * @param origin how they came in, such as `http:<key id>`
   * @throws NotRecorded when ClickHouse does not take them
   */
  async keep(tenant: string, origin: string, refused: readonly RefusedEvent[]): Promise<void> {
    if (refused.length === 0) return;
    const { store, collectorId, clock } = this.#options;
    const receivedAtMicros = clock.nowMicros();
    const { columnNames, block } = encodeQuarantine(
      refused.map(({ origin: own = origin, eventId, errors, raw }) => ({
        tenant, quarantineId: randomUUIDv7(), receivedAtMicros, collectorId, origin: own, eventId: eventId ?? '', errors, raw,
      })),
    );
    try {
      await store.insertNative('quarantine', columnNames, block, randomUUIDv7());
    } catch (error) {
      if (error instanceof StoreError) throw new NotRecorded('the quarantine does not take events at the moment', { cause: error });
      throw error;
    }
  }
}
