import { randomBytes, randomUUID } from 'node:crypto';
import { countDropped, encodeQuarantine, quarantineDays } from '@agent-audit/queries';
import { createTelemetry, systemClock, type Clock } from '@agent-audit/shared';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import { QuarantineBounds } from './quarantine-bounds.ts';

const NOW = 1_772_366_400_000_000n;
const DAY = 86_400_000_000n;

/** Time passes, or the clock is set. */
function held(): Clock & { pass: (ms: number) => void; set: (micros: bigint) => void } {
  let micros = NOW - 3_600_000_000n;
  let monotonic = 1000;
  return {
    ...systemClock,
    nowMicros: () => micros,
    monotonicMs: () => monotonic,
    pass: (ms) => {
      micros += BigInt(ms) * 1000n;
      monotonic += ms;
    },
    set: (to) => void (micros = to),
  };
}

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());
beforeEach(async () => {
  for (const table of ['quarantine', 'quarantine_dropped']) await test.store.command(`TRUNCATE TABLE ${table}`);
});

/** As many entries as asked for, of some 1 KiB on disk each: noise does not compress. */
async function refuse(daysAgo: number, entries: number, tenant = 't'): Promise<void> {
  const { columnNames, block } = encodeQuarantine(Array.from({ length: entries }, (_, i) => ({
    tenant, quarantineId: randomUUID(), receivedAtMicros: NOW - BigInt(daysAgo) * DAY + BigInt(i), collectorId: 'c', origin: 'http:k', eventId: '', errors: [], raw: randomBytes(1000),
  })));
  await test.store.insertNative('quarantine', columnNames, block, randomUUID());
}

async function enforce(maxBytes: number, maxDays = 184): Promise<{ kept: [string, number][]; dropped: number; metrics: string; log: string }> {
  const telemetry = createTelemetry();
  let log = '';
  const clock = held();
  const bounds = new QuarantineBounds({ store: test.store, clock, log: pino({ level: 'info' }, { write: (line) => void (log += line) }), telemetry, maxBytes, maxDays });
  await bounds.enforce();
  clock.pass(3_600_000);
  await bounds.enforce();
  return {
    kept: (await quarantineDays(test.store)).map(({ day, entries }) => [day, entries]),
    dropped: await countDropped(test.store, 't', { fromNs: 0n, toNs: NOW * 1000n + 1n }),
    metrics: (await telemetry.expose()).text,
    log,
  };
}

it('nothing goes that is within the bounds', async () => {
  await refuse(184, 2);
  await refuse(0, 2);
  expect(await enforce(1e6)).toMatchObject({ kept: [['2025-08-29', 2], ['2026-03-01', 2]], dropped: 0, log: '' });
});

it('what is too old goes by whole days, is counted and logged', async () => {
  await refuse(185, 3);
  await refuse(184, 2);
  const { kept, dropped, metrics, log } = await enforce(1e6);
  expect(kept).toEqual([['2025-08-29', 2]]);
  expect(dropped).toBe(3);
  expect(metrics).toContain('agent_audit_quarantine_dropped_total{reason="age"} 3');
  expect(metrics).toContain('agent_audit_quarantine_dropped_bytes_total{reason="age"} 3000');
  expect(JSON.parse(log)).toMatchObject({ day: '2025-08-28', reason: 'age', entries: 3, bytes: 3000 });
});

it('a clock that was a year ahead for less than an hour takes nothing, from its start or set while it runs', async () => {
  await refuse(0, 2);
  const clock = held();
  clock.set(NOW + 365n * DAY);
  const bounds = new QuarantineBounds({ store: test.store, clock, log: pino({ level: 'silent' }), telemetry: createTelemetry(), maxBytes: 1e6, maxDays: 184 });
  const look = async (): Promise<number> => {
    await bounds.enforce();
    return (await quarantineDays(test.store)).length;
  };
  expect(await look()).toBe(1);
  clock.pass(3_599_000);
  expect(await look()).toBe(1);
  clock.set(NOW);
  expect(await look()).toBe(1);
  clock.pass(3_600_000);
  expect(await look()).toBe(1);
  clock.set(NOW + 365n * DAY);
  expect(await look()).toBe(1);
  clock.pass(3_600_000);
  expect(await look()).toBe(0);
});

it('what is too much goes oldest first', async () => {
  for (const daysAgo of [3, 2, 1, 0]) await refuse(daysAgo, 100);
  await refuse(3, 50, 'other');
  const { kept, dropped, metrics } = await enforce(250_000);
  expect(kept).toEqual([['2026-02-28', 100], ['2026-03-01', 100]]);
  expect(dropped).toBe(200);
  expect(metrics).toContain('agent_audit_quarantine_dropped_total{reason="size"} 250');
});

it('a day that is too much by itself is cut, and keeps the latest', async () => {
  await refuse(1, 10);
  await refuse(0, 400);
  const { kept, dropped } = await enforce(200_000);
  expect(kept).toEqual([['2026-03-01', expect.any(Number)]]);
  expect(kept[0]?.[1]).toBeGreaterThan(130);
  expect(kept[0]?.[1]).toBeLessThan(200);
  expect(dropped).toBe(410 - (kept[0]?.[1] ?? 0));
});

it('looks when it is started, and not after it was stopped', async () => {
  await refuse(2, 10);
  await refuse(1, 1);
  const bounds = new QuarantineBounds({ store: test.store, clock: held(), log: pino({ level: 'silent' }), telemetry: createTelemetry(), maxBytes: 5000, maxDays: 184 });
  bounds.start();
  await bounds.stop();
  expect(await quarantineDays(test.store)).toMatchObject([{ day: '2026-02-28' }]);
});
