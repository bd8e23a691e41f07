/* A negative control: events are acknowledged before they are written, let alone synced. */
import { mutate } from './mutate.ts';

mutate('services/collector/src/recorder.ts', '    await synced;', '    synced.catch(() => {});');
// What the kernel has, SIGKILL does not take away: so the write, too, must come later.
mutate('services/collector/src/segments/journal.ts', 'await new Promise((resolve) => setImmediate(resolve));', 'await new Promise((resolve) => setTimeout(resolve, 300));');
