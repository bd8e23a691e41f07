/* A negative control: when ClickHouse says that an insert is a duplicate, it is believed, and nothing is counted. */
import { mutate } from './mutate.ts';

mutate('services/collector/src/inserter.ts', ', insertComment(collectorId));', ', insertComment(collectorId));\n        return;');
