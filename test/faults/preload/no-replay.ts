/* A negative control: what an earlier run left on disk is not stored. */
import { mutate } from './mutate.ts';

mutate('services/collector/src/recorder.ts', 'for (const segment of left) this.#inserter.push(leftSegment(segment));', '');
