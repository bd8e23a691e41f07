import { afterEach, expect, it, vi } from 'vitest';
import { systemClock } from './clock.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const wallMs = (): number => Number(systemClock.nowMicros()) / 1000;

it('is the wall clock\'s time, to the microsecond', () => {
  expect(Math.abs(wallMs() - Date.now())).toBeLessThan(12);
  expect(new Set(Array.from({ length: 100 }, () => systemClock.nowMicros() % 1000n)).size).toBeGreaterThan(1);
});

it.for([3_600_000, -3_600_000, 86_400_000, 50])('follows a wall clock that is set by %d ms, while intervals go on', (byMs) => {
  const before = systemClock.monotonicMs();
  const now = Date.now.bind(Date);
  vi.spyOn(Date, 'now').mockImplementation(() => now() + byMs);
  expect(Math.abs(wallMs() - Date.now())).toBeLessThan(12);
  expect(systemClock.monotonicMs() - before).toBeLessThan(3_000_000);
  vi.restoreAllMocks();
  expect(Math.abs(wallMs() - Date.now())).toBeLessThan(12);
});
