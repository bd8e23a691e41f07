import type { Store } from '@agent-audit/queries';
import type { Clock, KeyRing } from '@agent-audit/shared';
import type { Proofs } from './proofs.ts';

/** What the query routes need. */
export interface QueryDeps {
  readonly store: Store;
  readonly keys: KeyRing;
  readonly clock: Clock;
  /** The logs of this data folder; undefined where no proofs are kept. */
  readonly proofs: Proofs | undefined;
  /** Awaited before anything is read: where little is going on, who records and then asks sees what was recorded. */
  readonly settled: () => Promise<void>;
}
