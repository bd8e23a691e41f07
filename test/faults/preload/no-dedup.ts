/* A negative control: what is recorded already is recorded again. */
import { mutate } from './mutate.ts';

mutate('services/collector/src/inserter.ts', 'if (known?.has(digest) === true) {', 'if (false) {');
