/* A negative control: after an insert that failed, the recorder believes ClickHouse that the repeat is a duplicate. */
import { mutate } from './mutate.ts';

mutate('services/collector/src/recorder.ts', 'if (attempt === 0 || (await this.#isStored(segment))) {', 'if (true) {');
