import { randomUUIDv7 } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ByteBuffer, encodeQuarantine, Store, StoreError } from '@agent-audit/queries';
import { EventTape, type AuditEvent } from '@agent-audit/schemas';
import { createTelemetry, systemClock } from '@agent-audit/shared';
import { describe, expect, it } from 'vitest';
import { failure, TestDisk } from '../../../test/support/disk.ts';
import { toolCall } from '../../../test/support/events.ts';
import { away, base, expectExactly, expectQuarantined, finish, gone, holdLearning, isConflict, metric, monthly, onInsert, quarantined, refusedOf, segments, some, start, type Started, STORED, stored, test, unique } from '../../../test/support/recorders.ts';
import { until } from '../../../test/support/until.ts';
import type { RecordResult } from './event-sink.ts';
import { NotRecorded } from './not-recorded.ts';
import { checksumSeed, readSegment, segmentHeader, withQuarantineIds, writeRecord, type SegmentRecord } from './segments/format.ts';

describe('an insert that fails', () => {
  it('is repeated until it is stored', async () => {
    const telemetry = createTelemetry();
    const { record, store, stop } = await start({ telemetry });
    const tenant = unique('t');
    let failures = 3;
    onInsert(store, async ({ run }) => {
      if (failures-- > 0) throw gone();
      await run();
    });
    const events = some(3);
    expect(await record(tenant, events, STORED)).toEqual({ accepted: 3, duplicates: 0 });
    await expectExactly(tenant, events);
    expect(await metric(telemetry, 'insert_failures_total')).toBe(3);
    expect(await metric(telemetry, 'inserted_rows_total')).toBe(3);
    await stop();
  });

  it('and was stored all the same is not stored twice', async () => {
    const { record, store, stop } = await start();
    const tenant = unique('t');
    let failures = 4;
    onInsert(store, async ({ run }) => {
      await run();
      if (failures-- > 0) throw gone();
    });
    // Whether it got there cannot be asked either, the first times.
    const select = store.select.bind(store);
    let blind = 2;
    store.select = (async (...args: Parameters<Store['select']>) => {
      if (/segment_id|quarantine_id/.test(args[0]) && blind-- > 0) throw gone();
      return select(...args);
    }) as Store['select'];
    const events = some(3);
    const other = { ...events[0], attributes: { other: true } } as AuditEvent;
    expect(await record(tenant, [...events, other], { ...STORED, refused: [refusedOf('{1}'), refusedOf('{2}')] })).toEqual({ accepted: 4, duplicates: 0 });
    await expectExactly(tenant, [...events, other]);
    await expectQuarantined(tenant, ['{1}', '{2}']);
    await stop();
  });

  it('is repeated under another token where ClickHouse knows the token and does not have the rows', async () => {
    const { record, store, stop } = await start();
    const tenant = unique('t');
    const seen = new Set<string>();
    onInsert(store, async ({ table, token, run, onlyToken }) => {
      const key = `${table}/${token.includes('doubtful')}`;
      if (seen.has(key)) return run();
      seen.add(key);
      return onlyToken();
    });
    const events = some(3);
    const other = { ...events[0], attributes: { other: true } } as AuditEvent;
    expect(await record(tenant, [...events, other], { ...STORED, refused: [refusedOf('{1}')] })).toEqual({ accepted: 4, duplicates: 0 });
    await expectExactly(tenant, [...events, other]);
    await expectQuarantined(tenant, ['{1}']);
    await stop();
  });

  it('for good puts its segment aside, and those behind it are stored; the next start stores it too', async () => {
    const telemetry = createTelemetry();
    const first = await start({ telemetry, clock: monthly() });
    await first.learned();
    const tenant = unique('t');
    const [a, b, c, d] = some(4) as [AuditEvent, AuditEvent, AuditEvent, AuditEvent];
    await first.record(tenant, [a], STORED);
    let bad: string | undefined;
    onInsert(first.store, async ({ token, run }) => {
      bad ??= token;
      if (token.startsWith(bad)) throw new StoreError('ClickHouse: INCORRECT_DATA (117)', 117);
      await run();
    });
    expect(await first.record(tenant, [b, c, a], { refused: [], waitMs: 200 })).toMatchObject({ accepted: 3 });
    await first.record(tenant, [d], STORED);
    await expectExactly(tenant, [a, d]);
    expect(await metric(telemetry, 'segments_stuck')).toBe(1);
    // One of its events is sent again, and now it is stored.
    expect(await first.record(tenant, [b], STORED)).toEqual({ accepted: 1, duplicates: 0 });
    await first.stop();
    await expectExactly(tenant, [a, d, b]);
    expect(await segments(first.folder)).toHaveLength(1);
    await finish(first);
    await expectExactly(tenant, [a, d, b, c]);
    expect(await readdir(first.folder)).toEqual([]);
  });
});

describe('while ClickHouse is away', () => {
  it('events are acknowledged; they are stored when it is back, once and in order', async () => {
    const clock = monthly();
    const { record, learned, store, stop, recorder, folder } = await start({ clock });
    await learned();
    const tenant = unique('t');
    const [a, b, c, d, e, f] = some(6) as [AuditEvent, AuditEvent, AuditEvent, AuditEvent, AuditEvent, AuditEvent];
    await record(tenant, [a], STORED);
    const back = away(store);
    const other = { ...b, attributes: { other: true } };
    // Nobody waits to hear of repeats, once it is known that nothing can be known.
    await record(tenant, [b]);
    await until(() => recorder.state.waiting, (waiting) => waiting > 0);
    // More segments than have their columns in memory: with repeats in one, of earlier ones, and of what is stored.
    for (const batch of [[c], [d, b], [other, a, other], [e, d, e], [c, f], [b, other]]) {
      clock.month++;
      expect(await record(tenant, batch, { refused: [refusedOf(`{${clock.month}}`)] })).toMatchObject({ duplicates: 0 });
    }
    expect(recorder.state).toEqual({ refusing: undefined, waiting: 6, stuck: 0 });
    expect((await segments(folder)).length).toBeGreaterThanOrEqual(7);
    back();
    await until(() => recorder.state.waiting, (waiting) => waiting === 0, 30_000);
    await stop();
    await expectExactly(tenant, [a, b, c, d, other, e, f]);
    const rows = await stored(tenant);
    expect(rows.map(({ raw }) => raw)).toEqual([a, b, c, d, other, e, f].map((event) => JSON.stringify(event)));
    expect(rows.map(isConflict)).toEqual([false, false, false, false, true, false, false]);
    await expectQuarantined(tenant, ['{1}', '{2}', '{3}', '{4}', '{5}', '{6}']);
    expect(await readdir(folder)).toEqual([]);
  });

  it('and killed, events are acknowledged, and stored exactly once when it has been started again', async () => {
    const { record, learned, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(400);
    const pid = test.engine.pid as number;
    const answers: Promise<RecordResult>[] = [];
    for (let i = 0; i < 400; i += 10) {
      answers.push(record(tenant, events.slice(i, i + 10)));
      if (i === 100) process.kill(pid, 'SIGKILL');
      await sleep(5);
    }
    expect((await Promise.all(answers)).every(({ accepted }) => accepted === 10)).toBe(true);
    expect(await record(tenant, events, STORED)).toEqual({ accepted: 0, duplicates: 400 });
    await expectExactly(tenant, events);
    await stop();
  });

  it('what cannot be looked up is taken in, and told apart later', async () => {
    const { record, learned, store, stop, recorder } = await start();
    await learned();
    const tenant = unique('t');
    const [a, b] = some(2) as [AuditEvent, AuditEvent];
    await record(tenant, [a], STORED);
    const select = store.select.bind(store);
    store.select = () => Promise.reject(gone());
    expect(await record(tenant, [a, b], { waitMs: 100 })).toEqual({ accepted: 2, duplicates: 0 });
    expect(recorder.state.waiting).toBe(1);
    store.select = select;
    expect(await record(tenant, [a, b], STORED)).toEqual({ accepted: 0, duplicates: 2 });
    await expectExactly(tenant, [a, b]);
    await stop();
  });

  it('at the start, the recorded ids are learned later, and what came in meanwhile is told apart then', async () => {
    const first = await start();
    const tenant = unique('t');
    const events = some(3);
    await first.record(tenant, events);
    await first.stop();
    let failures = 0;
    let back = false;
    const clock = monthly();
    const second = await start({
      after: first, clock,
      prepare: (store) => {
        const stream = store.stream.bind(store);
        store.stream = (...args) => {
          if (back) return stream(...args);
          failures++;
          throw gone();
        };
      },
    });
    const [d, e] = some(2) as [AuditEvent, AuditEvent];
    const other = { ...events[0], attributes: { other: true } } as AuditEvent;
    expect(await second.record(tenant, [...events, d, other])).toEqual({ accepted: 5, duplicates: 0 });
    clock.month++;
    const more = second.record(tenant, [d, other, e]);
    back = true;
    expect(await more).toMatchObject({ accepted: 3 });
    await until(() => second.recorder.state.waiting, (waiting) => waiting === 0);
    expect(failures).toBeGreaterThan(1);
    // Behind segments that had to be read again, nobody is told at once.
    await until(() => second.record(tenant, [...events, d, e, other], STORED), ({ duplicates }) => duplicates === 6);
    await expectExactly(tenant, [...events, d, other, e]);
    expect((await stored(tenant)).filter(isConflict).map(({ raw }) => raw)).toEqual([JSON.stringify(other)]);
    await second.stop();
  });
});

describe('a disk that fails', () => {
  it('refuses events and says so, and what was acknowledged before is stored', async () => {
    const { record, recorder, learned, disk, stop } = await start();
    await learned();
    const tenant = unique('t');
    const events = some(2);
    await record(tenant, events);
    expect(recorder.state.refusing).toBeUndefined();
    disk.before = (operation) => {
      if (operation === 'sync') throw failure('EIO');
    };
    await expect(record(tenant, some(1))).rejects.toBeInstanceOf(NotRecorded);
    disk.before = () => {};
    expect(recorder.state.refusing).toBe('the disk has failed (EIO), and the service must be started anew');
    await expect(record(tenant, some(1))).rejects.toThrow('the disk has failed');
    await stop();
    expect((await stored(tenant)).map(({ raw }) => raw)).toEqual(expect.arrayContaining(events.map((event) => JSON.stringify(event))));
  });

  it('for want of space refuses what does not fit; a repeat is recorded, without a hole', async () => {
    const clock = { ...systemClock, ms: 0, monotonicMs: () => Date.now() + clock.ms };
    const { record, recorder, learned, disk, stop, store, folder } = await start({ clock });
    await learned();
    const tenant = unique('t');
    const [a, b, c] = some(3) as [AuditEvent, AuditEvent, AuditEvent];
    await record(tenant, [a], STORED);
    const back = away(store);
    disk.space = 200;
    await expect(record(tenant, [b])).rejects.toBeInstanceOf(NotRecorded);
    expect(recorder.state.refusing).toBe('the disk is full');
    await expect(record(tenant, [b])).rejects.toThrow('the disk is full');
    for (let attempt = 0; attempt < 6; attempt++) {
      clock.ms += 1000;
      disk.space = attempt % 2 === 0 ? 0 : 50;
      await expect(record(tenant, [b, c])).rejects.toBeInstanceOf(NotRecorded);
    }
    disk.space = Number.POSITIVE_INFINITY;
    clock.ms += 1000;
    expect(await record(tenant, [b])).toMatchObject({ accepted: 1 });
    back();
    expect(await record(tenant, [a, b, c], STORED)).toMatchObject({ duplicates: expect.any(Number) });
    await stop();
    expect((await stored(tenant)).map(({ raw }) => raw).toSorted()).toEqual([a, b, c].map((event) => JSON.stringify(event)).toSorted());
    await expectExactly(tenant, [a, b, c]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('for a moment, when a left segment is tested, does not make its events new', async () => {
    const tenant = unique('t');
    const first = await start();
    await first.learned();
    const events = some(3);
    const reached = Promise.withResolvers<void>();
    first.disk.before = async (operation) => {
      if (operation !== 'remove') return;
      reached.resolve();
      await Promise.withResolvers<never>().promise;
    };
    await first.record(tenant, events);
    await reached.promise;
    first.kill();
    await expectExactly(tenant, events);
    const telemetry = createTelemetry();
    const gate = Promise.withResolvers<void>();
    const second = await start({ after: first, telemetry, prepare: (store) => holdLearning(store, gate.promise) });
    let reads = 0;
    second.disk.before = (operation) => {
      if (operation === 'read' && reads++ === 0) throw failure('EMFILE');
    };
    gate.resolve();
    await until(() => second.recorder.state.waiting, (waiting) => waiting === 0);
    await expectExactly(tenant, events);
    expect(await metric(telemetry, 'segments_stuck')).toBe(1);
    expect(await second.record(tenant, events, STORED)).toEqual({ accepted: 0, duplicates: 3 });
    await second.stop();
    expect(await segments(first.folder)).toHaveLength(1);
    await finish(second);
    await expectExactly(tenant, events);
    expect(await readdir(first.folder)).toEqual([]);
  });
});

describe('an event that a stricter version of the schema refuses', () => {
  const refusedNow = '{"event_id":"old-1"}';
  const event = toolCall();
  const later = toolCall();

  /** A segment as an earlier version left it, in which it accepted all of this. */
  async function leave(folder: string, tenant: string): Promise<string> {
    const id = randomUUIDv7();
    const buffer = new ByteBuffer(0);
    buffer.append(segmentHeader(id));
    const raws = [JSON.stringify(event), refusedNow, '{"event_id":"old-2"}', JSON.stringify(later)].map((raw) => Buffer.from(raw));
    const accepted = { count: raws.length, raw: (i: number) => raws[i] } as unknown as EventTape;
    writeRecord(buffer, checksumSeed(id), tenant, Number(systemClock.nowMicros()), accepted, withQuarantineIds([refusedOf('{refused before}')]));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `000000000000-${id}.segment`), buffer.view());
    return id;
  }

  it('goes to quarantine, once, however often its segment is read; those beside it are stored without a hole', async () => {
    const tenant = unique('t');
    const folder = join(base, 'left');
    const id = await leave(folder, tenant);
    let last: Started | undefined;
    let ids: string[] = [];
    for (let run = 0; run < 3; run++) {
      const disk = new TestDisk();
      const reached = Promise.withResolvers<void>();
      disk.before = async (operation, path) => {
        if (run === 2 || operation !== 'remove' || !path.includes(id)) return;
        reached.resolve();
        await Promise.withResolvers<never>().promise;
      };
      last = await start({ folder, disk, ...(last === undefined ? {} : { after: last }) });
      if (run < 2) {
        await reached.promise;
        last.kill();
      } else {
        await until(() => last?.recorder.state.waiting, (waiting) => waiting === 0);
        await last.stop();
      }
      const rows = await quarantined(tenant);
      expect(rows.map(({ raw, origin }) => [raw, origin])).toEqual([[refusedNow, `segment:${id}`], ['{"event_id":"old-2"}', `segment:${id}`], ['{refused before}', 'http:key']]);
      if (run > 0) expect(rows.map((row) => row.quarantine_id)).toEqual(ids);
      ids = rows.map((row) => row.quarantine_id);
      await expectExactly(tenant, [event, later]);
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it('goes there also when what was refused before is there already, under the segment\'s token', async () => {
    const tenant = unique('t');
    const folder = join(base, 'left');
    const id = await leave(folder, tenant);
    const [record] = (readSegment(await readFile(join(folder, `000000000000-${id}.segment`)))?.records ?? []) as [SegmentRecord];
    const collectorId = unique('c');
    const { columnNames, block } = encodeQuarantine(record.refused.map((event) => ({
      ...event, tenant, receivedAtMicros: BigInt(record.receivedAtMicros), collectorId, eventId: event.eventId ?? '',
    })));
    await test.store.insertNative('quarantine', columnNames, block, id);
    const { recorder, stop } = await start({ folder, collectorId });
    await until(() => recorder.state.waiting, (waiting) => waiting === 0);
    await stop();
    await expectQuarantined(tenant, [refusedNow, '{"event_id":"old-2"}', '{refused before}']);
    await expectExactly(tenant, [event, later]);
  });
});
