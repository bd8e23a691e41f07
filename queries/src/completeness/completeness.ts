import type { EventWindow } from '../events/list-events.ts';
import type { Store } from '../store.ts';
import { countQuarantined } from '../quarantine/count-quarantined.ts';
import { emittersInWindow } from './emitters-in-window.ts';
import { sequenceGaps, type Range } from './sequence-gaps.ts';

export interface Completeness {
  /**
   * `complete`: every event of the window carries a sequence number and none is missing between an emitter's
   * first and last. `gaps`: some are missing. `unknown`: no number is missing, but nothing proves it, because
   * the window is empty or some events carry no number.
   */
  readonly status: 'complete' | 'gaps' | 'unknown';
  readonly emitters: readonly { readonly emitter: string; readonly first: number; readonly last: number; readonly missing: readonly Range[] }[];
  /** Events of the window without a sequence number: of them, nothing can be proven. */
  readonly unnumbered: number;
  /** Events of the tenant that were refused and not replayed, by time of receipt; see `countQuarantined`. */
  readonly quarantined: number;
  /** Events received long after they happened. */
  readonly late: number;
  readonly conflicts: number;
}

/** What is known to be missing from a window. Counts at most what was recorded when it was asked. */
export async function completeness(
  store: Store,
  tenant: string,
  window: EventWindow,
  agentIds: readonly string[] | undefined,
): Promise<Completeness> {
  const [emitters, quarantined] = await Promise.all([
    emittersInWindow(store, tenant, window, agentIds),
    countQuarantined(store, tenant, window),
  ]);
  const spans = emitters.filter((row) => row.has_sequence);
  const gaps = await sequenceGaps(store, tenant, spans);
  const listed = spans.map(({ emitter, first, last }) => ({ emitter, first, last, missing: gaps.get(emitter) ?? [] }));
  const unnumbered = sum(emitters.filter((row) => !row.has_sequence), (row) => row.events);
  return {
    status: listed.some((row) => row.missing.length > 0) ? 'gaps' : spans.length > 0 && unnumbered === 0 ? 'complete' : 'unknown',
    emitters: listed,
    unnumbered,
    quarantined,
    late: sum(emitters, (row) => row.late),
    conflicts: sum(emitters, (row) => row.conflicts),
  };
}

function sum<T>(rows: readonly T[], of: (row: T) => number): number {
  return rows.reduce((total, row) => total + of(row), 0);
}
