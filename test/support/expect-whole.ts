import { expect } from 'vitest';
import { completeness, CONTENT, everything, type Load } from './load.ts';
import { NOTHING_WRONG } from './oracle.ts';
import type { ServiceProcess } from './service.ts';

/**
 * After a death or a stop: nothing acknowledged is lost and nothing shows twice; what was not acknowledged and is
 * sent again makes the record whole. The load must have been stopped.
 */
export async function expectWhole(load: Load, service: ServiceProcess): Promise<void> {
  expect(await load.check(service)).toEqual({ ...NOTHING_WRONG, holes: 0 });
  await load.finish(service);
  expect(await load.check(service)).toEqual({ ...NOTHING_WRONG, holes: 0 });
  expect(load.oracle.acknowledged).toBe(load.oracle.sent);
  expect(await everything(service)).toHaveLength(load.oracle.sent);
  expect(await completeness(service)).toBe('complete');
  // Logs are of what happened, never of what an event or a key holds.
  for (const secret of [CONTENT, service.adminKey]) expect(service.log).not.toContain(secret);
}
