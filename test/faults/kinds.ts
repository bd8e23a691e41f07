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
  killCollector, killEngine, killBoth, engineHangs, stop, clock, killStoreAway, storeAway, storeCut, storeForgets, storeSlow, tornSegment, clockStoreCut,
];

/** Only by name: needs the right to mount. */
export const KINDS_BY_NAME: readonly Fault[] = [diskFull];
