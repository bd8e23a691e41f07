import type { Fault } from './fault.ts';
import { clock } from './kinds/clock.ts';
import { engineHangs } from './kinds/engine-hangs.ts';
import { killBoth } from './kinds/kill-both.ts';
import { killCollector } from './kinds/kill-collector.ts';
import { killEngine } from './kinds/kill-engine.ts';
import { stop } from './kinds/stop.ts';
import { storeAway } from './kinds/store-away.ts';
import { storeCut } from './kinds/store-cut.ts';
import { storeForgets } from './kinds/store-forgets.ts';
import { storeSlow } from './kinds/store-slow.ts';

/** Everything that breaks in a run that is not told what to break. */
export const KINDS: readonly Fault[] = [
  killCollector, killEngine, killBoth, engineHangs, stop, clock, storeAway, storeCut, storeForgets, storeSlow,
];
