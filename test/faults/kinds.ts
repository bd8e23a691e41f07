import type { Fault } from './fault.ts';
import { clock } from './kinds/clock.ts';
import { clockStoreCut } from './kinds/clock-store-cut.ts';
import { diskFull } from './kinds/disk-full.ts';
import { engineHangs } from './kinds/engine-hangs.ts';
import { killBoth } from './kinds/kill-both.ts';
import { killCollector } from './kinds/kill-collector.ts';
import { killEngine } from './kinds/kill-engine.ts';
import { killStoreAway } from './kinds/kill-store-away.ts';
import { stop } from './kinds/stop.ts';
import { storeAway } from './kinds/store-away.ts';
import { storeCut } from './kinds/store-cut.ts';
import { storeForgets } from './kinds/store-forgets.ts';
import { storeSlow } from './kinds/store-slow.ts';
import { tornSegment } from './kinds/torn-segment.ts';

/** Everything that breaks in a run that is not told what to break. */
export const KINDS: readonly Fault[] = [
  killCollector, killEngine, killBoth, engineHangs, stop, clock, killStoreAway, storeAway, storeCut, storeForgets, storeSlow,
];

/**
 * Only by name. `torn-segment` and `disk-full` need a collector that keeps segments in `<data folder>/segments`, `disk-full`
 * also the right to mount. `clock-store-cut` is one that the service does not stand yet: it looks for the rows of a
 * segment between the first and the last time of receipt, which a clock that was set back puts in the wrong order.
 */
export const KINDS_BY_NAME: readonly Fault[] = [tornSegment, diskFull, clockStoreCut];
