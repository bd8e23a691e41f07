import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEvent } from '@agent-audit/schemas';
import type { Clock } from '@agent-audit/shared';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { at, NOON, toolCall } from '../../../test/support/events.ts';
import { Random } from '../../../test/support/random.ts';
import { away, expectExactly, finish, holdLearning, isConflict, segments, some, start, type Started, STORED, stored, test, unique } from '../../../test/support/recorders.ts';
import { until } from '../../../test/support/until.ts';
import { NotRecorded } from './not-recorded.ts';

describe('what is new and what is known', () => {
  it('records new events, and they are stored when it answers to who waits', async () => {
    const { record, stop } = await start();
    const tenant = unique('t');
    const events = some(5);
    expect(await record(tenant, events, STORED)).toEqual({ accepted: 5, duplicates: 0 });
    await expectExactly(tenant, events);
    expect(await record(tenant, [], STORED)).toEqual({ accepted: 0, duplicates: 0 });
    await stop();
  });

  it('stores what nobody waits for, and leaves nothing on disk', async () => {
    const { record, stop, folder } = await start();
    const tenant = unique('t');
    const events = some(5);
    for (const event of events) expect(await record(tenant, [event])).toEqual({ accepted: 1, duplicates: 0 });
    await until(() => stored(tenant), (rows) => rows.length === 5);
    await expectExactly(tenant, events);
    await stop();
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([['before', false], ['after', true]] as const)('tells duplicates in one request and from request to request, %s the ids are learned', async (_, wait) => {
    const { record, learned, stop } = await start();
    if (wait) await learned();
    const tenant = unique('t');
    const [a, b, c] = some(3) as [AuditEvent, AuditEvent, AuditEvent];
    expect(await record(tenant, [a, b, a, a], STORED)).toEqual({ accepted: 2, duplicates: 2 });
    expect(await record(tenant, [b, c, a], STORED)).toEqual({ accepted: 1, duplicates: 2 });
    // Who sends again is told without having asked to wait.
    expect(await record(tenant, [c])).toEqual({ accepted: 0, duplicates: 1 });
    await expectExactly(tenant, [a, b, c]);
    await stop();
  });

  it('tells duplicates among requests at the same time', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(40);
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => record(tenant, events.slice(i * 2, i * 2 + 26), STORED)));
    expect(answers.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(40);
    expect(answers.reduce((sum, { duplicates }) => sum + duplicates, 0)).toBe(8 * 26 - 40);
    await expectExactly(tenant, events);
    await stop();
  });

  it.each([['before', false], ['after', true]] as const)('knows what was recorded before a restart, %s it has learned the ids', async (_, wait) => {
    const first = await start();
    const tenant = unique('t');
    const events = some(30);
    await first.record(tenant, events);
    await first.stop();
    const second = await start({ after: first });
    if (wait) await second.learned();
    const more = some(2);
    expect(await second.record(tenant, [...events, ...more], STORED)).toEqual({ accepted: 2, duplicates: 30 });
    await expectExactly(tenant, [...events, ...more]);
    await second.stop();
  });

  it('knows what another collector recorded before it started', async () => {
    const [first, tenant, events] = [await start(), unique('t'), some(3)];
    await first.record(tenant, events, STORED);
    const second = await start();
    await second.learned();
    expect(await second.record(tenant, events, STORED)).toEqual({ accepted: 0, duplicates: 3 });
    await Promise.all([first.stop(), second.stop()]);
  });

  it('keeps the tenants apart', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenants = [unique('t'), unique('t')];
    const events = some(4);
    for (const tenant of tenants) expect(await record(tenant, events, STORED)).toEqual({ accepted: 4, duplicates: 0 });
    for (const tenant of tenants) await expectExactly(tenant, events);
    await stop();
  });

  it('takes ids beside letters beyond ASCII, which the tape keeps elsewhere', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(3).map((event) => Object.assign(event, { agent: { id: 'агент' } }));
    expect(await record(tenant, [...events, ...events], STORED)).toEqual({ accepted: 3, duplicates: 3 });
    await expectExactly(tenant, events);
    await stop();
  });
});

describe('conflicts', () => {
  it('keeps other bytes under a known id, flags them, and acknowledges a repeat of either', async () => {
    const first = await start();
    const tenant = unique('t');
    const event = toolCall();
    const other = { ...event, attributes: { other: true } };
    const third = { ...event, attributes: { third: true } };
    expect(await first.record(tenant, [event, other], STORED)).toEqual({ accepted: 2, duplicates: 0 });
    expect(await first.record(tenant, [other, event, third], STORED)).toEqual({ accepted: 1, duplicates: 2 });
    await first.stop();
    const second = await start({ after: first });
    expect(await second.record(tenant, [third, other, event], STORED)).toEqual({ accepted: 0, duplicates: 3 });
    await second.stop();
    await expectExactly(tenant, [event, other, third]);
    expect((await stored(tenant)).map((row) => [row.raw, isConflict(row)])).toEqual([[JSON.stringify(event), false], [JSON.stringify(other), true], [JSON.stringify(third), true]]);
  });

  it('of requests at the same time: one is the first, each text is kept once', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const event = toolCall();
    const versions = [0, 1, 2, 3].map((version) => ({ ...event, attributes: { version } }));
    const answers = await Promise.all([...versions, ...versions].map((version) => record(tenant, [version], STORED)));
    expect(answers.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(4);
    const rows = await stored(tenant);
    expect(rows.map(isConflict)).toEqual([false, true, true, true]);
    expect(new Set(rows.map(({ raw }) => raw)).size).toBe(4);
    await stop();
  });
});

describe('positions', () => {
  it('rise by one in each tenant, over requests and restarts', async () => {
    const tenants = [unique('t'), unique('t'), unique('t')];
    const events = new Map(tenants.map((tenant) => [tenant, [] as AuditEvent[]]));
    const random = new Random(2);
    let last: Started | undefined;
    for (let round = 0; round < 3; round++) {
      const { record, learned, stop } = (last = await start(last === undefined ? {} : { after: last }));
      if (round === 1) await learned();
      await Promise.all(Array.from({ length: 25 }, async () => {
        const tenant = random.pick(tenants);
        const batch = some(1 + random.int(4));
        events.get(tenant)?.push(...batch);
        await record(tenant, batch);
      }));
      await stop();
    }
    for (const tenant of tenants) await expectExactly(tenant, events.get(tenant) ?? []);
  });

  it('follow the order within a request', async () => {
    const { record, stop } = await start();
    const tenant = unique('t');
    const events = some(50).toReversed();
    await record(tenant, events, STORED);
    expect((await stored(tenant)).map(({ event_id: id }) => id)).toEqual(events.map(({ event_id: id }) => id));
    await stop();
  });
});

describe('segments', () => {
  it('are shared by requests under load', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const batches = Array.from({ length: 300 }, () => some(3));
    await Promise.all(batches.map((batch) => record(tenant, batch)));
    await stop();
    const rows = await stored(tenant);
    expect(rows).toHaveLength(900);
    expect(new Set(rows.map((row) => row.segment_id)).size).toBeLessThan(10);
  });

  it('take a request of more than a segment has rows', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(65_000);
    expect(await record(tenant, events)).toEqual({ accepted: 65_000, duplicates: 0 });
    await record(tenant, some(1));
    await stop();
    const rows = await stored(tenant);
    expect(rows).toHaveLength(65_001);
    expect(rows.every((row, i) => row.log_index === i)).toBe(true);
    expect(new Set(rows.map((row) => row.segment_id)).size).toBe(2);
  });

  it('hold one month of receipt only', async () => {
    // The last microsecond of February, and then the first of March.
    const micros = [1_772_323_199_999_999n, 1_772_323_200_000_000n];
    let calls = 0;
    const clock: Clock = { monotonicMs: () => 1_772_323_200_000, nowMicros: () => micros[Math.min(calls++, 1)] as bigint, sleep: () => sleep(1) };
    const { record, learned, stop } = await start({ clock });
    await learned();
    const tenant = unique('t');
    const [a, b] = [some(1), some(1)];
    await Promise.all([record(tenant, a), record(tenant, b)]);
    await stop();
    await expectExactly(tenant, [...a, ...b]);
    expect(new Set((await stored(tenant)).map((row) => row.segment_id)).size).toBe(2);
  });
});

describe('stop', () => {
  it('finishes what was taken in, and refuses what comes after', async () => {
    const { recorder, record, learned, folder } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(60);
    const before = Promise.all([record(tenant, events.slice(0, 20)), record(tenant, events.slice(10, 40)), record(tenant, events.slice(40))]);
    const stopping = recorder.stop();
    await expect(record(tenant, some(1))).rejects.toBeInstanceOf(NotRecorded);
    await stopping;
    expect((await before).map(({ accepted }) => accepted)).toEqual([20, 20, 20]);
    await expectExactly(tenant, events);
    expect(await readdir(folder)).toEqual([]);
  });

  it('does not wait for ClickHouse when it is away, and loses nothing', async () => {
    const first = await start();
    await first.learned();
    const tenant = unique('t');
    const events = some(10);
    away(first.store);
    await first.record(tenant, events.slice(0, 5), { waitMs: 100 });
    await first.record(tenant, events.slice(5));
    await first.stop();
    expect(await stored(tenant)).toEqual([]);
    expect((await segments(first.folder)).length).toBeGreaterThan(0);
    await finish(first);
    await expectExactly(tenant, events);
  });

  // What is learned when the service stops is not all that is recorded; by it, repeats looked new and were stored again.
  it('while the recorded ids are learned stores nothing untested', async () => {
    const first = await start();
    const tenant = unique('t');
    const events = some(20);
    await first.record(tenant, events);
    await first.stop();
    const gate = Promise.withResolvers<void>();
    const second = await start({
      after: first,
      prepare: (store) => {
        const stream = store.stream.bind(store);
        store.stream = async function* (...args) {
          await gate.promise;
          // One id at a time.
          for await (const chunk of stream(...args)) for (let i = 0; i < chunk.length; i += 8) yield chunk.subarray(i, i + 8);
        };
      },
    });
    expect(await second.record(tenant, events)).toMatchObject({ accepted: 20 });
    const stopping = second.stop();
    gate.resolve();
    await stopping;
    await expectExactly(tenant, events);
    await finish(second);
    await expectExactly(tenant, events);
  });

  it('refuses requests that wait for the recorded ids to be learned', async () => {
    const gate = Promise.withResolvers<void>();
    const { record, recorder, folder } = await start({
      prepare: (store) => holdLearning(store, gate.promise),
    });
    const waiting = record(unique('t'), some(1));
    const stopping = recorder.stop();
    gate.resolve();
    await expect(waiting).rejects.toBeInstanceOf(NotRecorded);
    await stopping;
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('time', () => {
  it('of receipt is the clock\'s, and late events are flagged', async () => {
    const clock: Clock = { monotonicMs: () => Number(NOON / 1_000_000n), nowMicros: () => NOON / 1000n + 7n, sleep };
    const { record, stop } = await start({ clock });
    const tenant = unique('t');
    await record(tenant, [toolCall({ time: at(NOON) }), toolCall({ time: at(NOON - 301_000_000_000n) }), toolCall({ time: at(NOON + 61_000_000_000n) })], STORED);
    expect((await stored(tenant)).map(({ flags }) => flags)).toEqual([0, 1, 2]);
    const [row] = await test.store.select('SELECT DISTINCT toString(received_at) AS received_at FROM events WHERE tenant = {tenant: String}', { tenant }, z.object({ received_at: z.string() }));
    expect(row).toEqual({ received_at: '2026-03-01 12:00:00.000007' });
    await stop();
  });
});
