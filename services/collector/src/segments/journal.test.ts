import { randomUUIDv7 } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { EventTape } from '@agent-audit/schemas';
import { createTelemetry, type Telemetry } from '@agent-audit/shared';
import { ByteBuffer } from '@agent-audit/queries';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failure, TestDisk } from '../../../../test/support/disk.ts';
import { toolCall } from '../../../../test/support/events.ts';
import { Oracle } from '../../../../test/support/oracle.ts';
import { Random } from '../../../../test/support/random.ts';
import { inTime, until } from '../../../../test/support/until.ts';
import { NotRecorded } from '../not-recorded.ts';
import { checksumSeed, HEADER_BYTES, segmentHeader, writeRecord } from './format.ts';
import { Journal, type LeftSegment, type SegmentFile } from './journal.ts';

let base: string;
let folder: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'agent-audit-journal-'));
  folder = join(base, 'segments');
});
afterEach(() => rm(base, { recursive: true, force: true }));

interface Started {
  readonly journal: Journal;
  readonly disk: TestDisk;
  readonly left: readonly LeftSegment[];
  readonly telemetry: Telemetry;
  readonly lines: string[];
  /** Milliseconds by which the journal's clock is ahead. */
  readonly clock: { ms: number };
}

const NOTHING_LOST = { lost: [], repeated: [], altered: [], invented: [] };

async function start(options: { maxBytes?: number; disk?: TestDisk; telemetry?: Telemetry } = {}): Promise<Started> {
  const clock = { ms: 0 };
  const lines: string[] = [];
  const disk = options.disk ?? new TestDisk();
  const telemetry = options.telemetry ?? createTelemetry();
  const journal = new Journal({
    folder, disk, telemetry, maxBytes: options.maxBytes ?? 2 ** 40, reserveBytes: 0,
    log: pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }),
    clock: { monotonicMs: () => clock.ms, nowMicros: () => BigInt(clock.ms) * 1000n, sleep: () => turn(undefined) },
  });
  return { journal, disk, left: await journal.open(), telemetry, lines, clock };
}

let made = 0;

/** An event with this id, of about `bytes` bytes more than it needs. */
function eventOf(id: string, bytes = 0): string {
  return JSON.stringify(toolCall({ event_id: id, attributes: { text: 'x'.repeat(bytes) } }));
}

/** Appends one record with one event; returns its id when it is acknowledged. */
async function append(journal: Journal, to: SegmentFile, id = `e-${++made}`, bytes = 0, raw = eventOf(id, bytes)): Promise<string> {
  const tape = new EventTape();
  expect(tape.take(Buffer.from(raw))).toBeUndefined();
  await journal.append(to, (buffer) => writeRecord(buffer, to.seed, 't', 1, tape, []));
  return id;
}

interface Found {
  readonly id: string;
  readonly raw: string;
}

/** What the next start finds, in order. */
async function reopened(telemetry?: Telemetry): Promise<{ journal: Journal; segments: Found[][]; left: readonly LeftSegment[]; lines: string[] }> {
  const { journal, left, lines } = await start(telemetry && { telemetry });
  const segments = await Promise.all(left.map(async ({ file }) => {
    const { content } = await journal.read(file);
    const bytes = await readFile(file.path);
    return content.records.flatMap(({ events }) => Array.from({ length: events.length / 2 }, (_, i) => {
      const raw = bytes.subarray(events[2 * i], events[2 * i + 1]).toString('utf8');
      return { id: (JSON.parse(raw) as { event_id: string }).event_id, raw };
    }));
  }));
  return { journal, segments, left, lines };
}

const ids = (segments: Found[][]): string[][] => segments.map((events) => events.map(({ id }) => id));
const metric = async (telemetry: Telemetry, name: string): Promise<number> => Number(new RegExp(`^agent_audit_${name} (\\S+)$`, 'm').exec((await telemetry.expose()).text)?.[1]);

/** A segment's bytes as an earlier run would have left them. */
function segmentBytes(id: string, events: readonly string[]): Buffer {
  const buffer = new ByteBuffer(0);
  buffer.append(segmentHeader(id));
  for (const event of events) {
    const tape = new EventTape();
    expect(tape.take(Buffer.from(eventOf(event)))).toBeUndefined();
    writeRecord(buffer, checksumSeed(id), 't', 1, tape, []);
  }
  return Buffer.from(buffer.view());
}

describe('appending', () => {
  it('puts segments on disk in their order, and an earlier run\'s are found again', async () => {
    const { journal } = await start();
    const [first, second] = [journal.begin(), journal.begin()];
    await append(journal, second, 'c');
    await append(journal, first, 'a');
    await append(journal, first, 'b');
    await journal.seal(first);
    expect((await journal.read(first)).content.records).toHaveLength(2);
    await journal.seal(second);
    await journal.close();
    expect(ids((await reopened()).segments)).toEqual([['a', 'b'], ['c']]);
  });

  it('seals a segment while others keep the disk busy', async () => {
    const { journal, disk } = await start();
    const [first, second] = [journal.begin(), journal.begin()];
    await append(journal, first);
    const appended: Promise<unknown>[] = [];
    let busy = true;
    // Whenever something is written, something waits already.
    disk.before = (operation) => {
      if (busy && operation === 'write') appended.push(append(journal, second));
    };
    appended.push(append(journal, second));
    appended.push(append(journal, first));
    try {
      await inTime(journal.seal(first), 'the first segment', 5_000);
    } finally {
      busy = false;
    }
    await Promise.all(appended);
    await journal.close();
  });

  it('again as soon as one is acknowledged is written too', async () => {
    const { journal } = await start();
    const segment = journal.begin();
    // In the very turn in which the promise resolves, when the writing of the first is about to end.
    const append = (): Promise<void> => journal.append(segment, (buffer) => buffer.append(Buffer.from('x')));
    await append().then(append).then(append);
    expect(segment.length).toBe(HEADER_BYTES + 3);
    await journal.close();
  });

  it('shares syncs: what comes while one runs goes into the next', async () => {
    const { journal, disk } = await start();
    const segment = journal.begin();
    await append(journal, segment);
    // The segment ahead is made.
    await until(() => disk.calls.syncFolder, (calls) => calls === 3);
    const before = { ...disk.calls };
    const gate = Promise.withResolvers<void>();
    disk.before = (operation) => (operation === 'sync' ? gate.promise : undefined);
    const first = append(journal, segment);
    await until(() => disk.calls.sync, (calls) => calls > before.sync);
    const more = Array.from({ length: 500 }, () => append(journal, segment));
    gate.resolve();
    await Promise.all([first, ...more]);
    expect(disk.calls.sync - before.sync).toBe(2);
    expect(disk.calls.write - before.write).toBe(2);
    await journal.close();
  });

  it('does not acknowledge before the sync is done, nor before the file\'s name is on disk', async () => {
    for (const operation of ['sync', 'syncFolder', 'create', 'write'] as const) {
      const { journal, disk } = await start();
      const gate = Promise.withResolvers<void>();
      let waiting = 0;
      disk.before = (which) => {
        if (which !== operation) return undefined;
        waiting++;
        return gate.promise;
      };
      const segment = journal.begin();
      let acknowledged = false;
      const appended = append(journal, segment).finally(() => {
        acknowledged = true;
      });
      await until(() => waiting, (count) => count > 0);
      for (let i = 0; i < 20; i++) await turn();
      expect(acknowledged, operation).toBe(false);
      gate.resolve();
      await appended;
      await journal.seal(segment);
      await journal.remove(segment);
      await journal.close();
    }
  });

  it('leaves only segments that were begun when it is closed', async () => {
    const { journal } = await start();
    const segment = journal.begin();
    await append(journal, segment);
    await until(() => readdir(folder), (names) => names.length === 2);
    await journal.seal(segment);
    await journal.close();
    expect(await readdir(folder)).toHaveLength(1);
    await journal.remove(segment);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('a power cut', { timeout: 60_000 }, () => {
  /** Making one takes longer than a whole run. */
  const quiet = createTelemetry();

  interface Outcome {
    readonly verdict: ReturnType<Oracle['check']>;
    readonly acknowledged: number;
  }

  /** Several callers append, seal and begin segments, until the power is cut in the middle of some operation. */
  async function runUntilCut(seed: number, lies = false): Promise<Outcome> {
    await rm(folder, { recursive: true, force: true });
    const random = new Random(seed);
    const oracle = new Oracle();
    const disk = new TestDisk();
    disk.lies = lies;
    const { journal } = await start({ disk, telemetry: quiet });
    const cut = Promise.withResolvers<void>();
    let left = 1 + random.int(80);
    disk.before = async () => {
      for (let turns = random.int(4); turns > 0; turns--) await turn();
      if (left-- > 0) return;
      disk.die();
      cut.resolve();
    };
    let segment = journal.begin();
    let sent = 0;
    // What is removed was stored elsewhere.
    const stored = new Map<string, Found>();
    const caller = async (): Promise<void> => {
      for (;;) {
        const to = segment;
        const id = `${seed}-${sent++}`;
        const raw = eventOf(id, random.chance(0.3) ? random.int(3000) : 0);
        oracle.sends(id, raw);
        await append(journal, to, id, 0, raw);
        oracle.acknowledges(id, raw);
        if (random.chance(0.4)) await turn();
        if (segment !== to || random.chance(0.8)) continue;
        segment = journal.begin();
        await journal.seal(to);
        if (random.chance(0.5)) continue;
        const { bytes, content } = await journal.read(to);
        for (const { events } of content.records) {
          const text = bytes.subarray(events[0], events[1]).toString('utf8');
          const event = JSON.parse(text) as { event_id: string };
          stored.set(event.event_id, { id: event.event_id, raw: text });
        }
        await journal.remove(to);
      }
    };
    for (let callers = 1 + random.int(5); callers > 0; callers--) void caller();
    await cut.promise;
    disk.powerCut(folder, random);
    // Of such a disk there may even be what the start refuses to remove.
    const found = lies ? await reopened(quiet).then(({ segments }) => segments.flat(), () => []) : (await reopened(quiet)).segments.flat();
    const shown = [...found, ...[...stored.values()].filter(({ id }) => !found.some((event) => event.id === id))];
    return { verdict: oracle.check(shown), acknowledged: oracle.acknowledged };
  }

  it('at any moment takes nothing that was acknowledged', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        expect((await runUntilCut(seed)).verdict).toEqual(NOTHING_LOST);
      }),
      { numRuns: 100, seed: 7 },
    );
  });

  it('is told from a whole disk by this test: where syncs do nothing, something is lost', async () => {
    let lost = 0;
    let acknowledged = 0;
    for (let seed = 0; seed < 30; seed++) {
      const outcome = await runUntilCut(seed, true);
      acknowledged += outcome.acknowledged;
      lost += outcome.verdict.lost.length;
      expect({ ...outcome.verdict, lost: [] }).toEqual(NOTHING_LOST);
    }
    expect(lost).toBeGreaterThan(acknowledged / 10);
  });
});

describe('a full disk', () => {
  it('refuses a write that does not fit, keeps what was acknowledged before, and goes on when there is space', async () => {
    const { journal, disk, clock, telemetry } = await start();
    const first = journal.begin();
    await append(journal, first, 'before');
    await until(() => disk.calls.syncFolder, (calls) => calls === 3);
    // The write is short, and what there is of it is on the disk.
    disk.space = 100;
    await expect(append(journal, first, 'refused')).rejects.toBeInstanceOf(NotRecorded);
    expect(first.broken).toBe(true);
    expect(() => journal.admit(1)).toThrow('the disk is full');
    expect(journal.failure).toBeUndefined();
    await expect(append(journal, first, 'behind')).rejects.toBeInstanceOf(NotRecorded);
    await journal.seal(first);
    expect((await journal.read(first)).content).toMatchObject({ records: [{}], end: first.length, state: 'torn' });
    clock.ms += 999;
    expect(() => journal.admit(1)).toThrow('the disk is full');
    clock.ms += 1;
    // Still full: the same again, for a second.
    const second = journal.begin();
    await expect(append(journal, second, 'again')).rejects.toBeInstanceOf(NotRecorded);
    expect(() => journal.admit(1)).toThrow('the disk is full');
    disk.space = Number.POSITIVE_INFINITY;
    clock.ms += 1000;
    journal.admit(1);
    const third = journal.begin();
    await append(journal, third, 'after');
    expect(await metric(telemetry, 'journal_failed')).toBe(0);
    await Promise.all([journal.seal(second), journal.seal(third)]);
    await journal.close();
    expect(ids((await reopened()).segments)).toEqual([['before'], ['after']]);
  });

  it.each(['create', 'write', 'sync', 'syncFolder'] as const)('refuses what would go into a segment that cannot be made (%s), and goes on when it can', async (operation) => {
    const { journal, disk, clock, telemetry } = await start();
    const first = journal.begin();
    let full = false;
    disk.before = (which, path) => {
      if (full && which === operation && !path.includes(first.id)) throw failure('ENOSPC');
    };
    await until(() => disk.calls.syncFolder, (calls) => calls === 2);
    full = true;
    // Nothing is wrong with this one, but the next cannot be made ahead.
    await append(journal, first, 'before');
    await until(() => disk.calls[operation], (calls) => calls > 1);
    for (let i = 0; i < 20; i++) await turn();
    expect(() => journal.admit(1)).toThrow('the disk is full');
    clock.ms += 1000;
    const second = journal.begin();
    await expect(append(journal, second, 'refused')).rejects.toBeInstanceOf(NotRecorded);
    await journal.seal(second);
    expect((await journal.read(second)).content.records).toEqual([]);
    await journal.remove(second);
    expect(await metric(telemetry, 'segments')).toBe(1);
    expect(journal.bytes).toBe(first.length);
    full = false;
    clock.ms += 1000;
    const third = journal.begin();
    await append(journal, third, 'after');
    expect(journal.failure).toBeUndefined();
    await Promise.all([journal.seal(first), journal.seal(third)]);
    await journal.close();
    expect(ids((await reopened()).segments)).toEqual([['before'], ['after']]);
  });

  it('does not keep it from being closed while the next segment is made', async () => {
    const { journal, disk } = await start();
    const segment = journal.begin();
    const full = Promise.withResolvers<void>();
    disk.before = (operation, path) => (operation === 'create' && !path.includes(segment.id) ? full.promise : undefined);
    await append(journal, segment);
    const closed = Promise.all([journal.seal(segment), journal.close()]);
    await turn();
    full.reject(failure('ENOSPC'));
    await closed;
    expect(await readdir(folder)).toHaveLength(1);
  });
});

describe('a disk that fails', () => {
  it.each([['write', 'EIO'], ['sync', 'EIO'], ['sync', 'ENOSPC']] as const)('in a %s with %s refuses everything from then on, even when it would work again', async (operation, code) => {
    const { journal, disk, clock, telemetry } = await start();
    const segment = journal.begin();
    await append(journal, segment, 'before');
    await until(() => disk.calls.syncFolder, (calls) => calls === 3);
    expect(await metric(telemetry, 'journal_failed')).toBe(0);
    let failures = 0;
    const gate = Promise.withResolvers<void>();
    disk.before = async (which) => {
      if (which !== operation || failures++ > 0) return;
      await gate.promise;
      throw failure(code);
    };
    const next = journal.begin();
    // Two groups: the second is not even tried.
    const refused = [append(journal, segment), append(journal, segment)];
    await until(() => failures, (count) => count === 1);
    refused.push(append(journal, segment), append(journal, next), append(journal, segment));
    const { sync: syncs, write: writes } = disk.calls;
    gate.resolve();
    for (const answer of await Promise.allSettled(refused)) expect(answer).toMatchObject({ status: 'rejected', reason: expect.any(NotRecorded) });
    clock.ms += 1_000_000;
    expect(() => journal.admit(1)).toThrow(`the disk has failed (${code}), and the service must be started anew`);
    expect(journal.failure).toMatchObject({ code });
    await expect(append(journal, next)).rejects.toBeInstanceOf(NotRecorded);
    await expect(append(journal, segment)).rejects.toBeInstanceOf(NotRecorded);
    expect(disk.calls.sync).toBe(syncs);
    expect(disk.calls.write).toBe(writes);
    expect(await metric(telemetry, 'journal_failed')).toBe(1);
    await Promise.all([journal.seal(segment), journal.seal(next)]);
    await journal.close();
    expect((await reopened()).segments.flat().map(({ id }) => id)).toContain('before');
  });

  it('in making a segment refuses everything from then on', async () => {
    const { journal, disk } = await start();
    disk.before = (operation) => {
      if (operation === 'syncFolder') throw failure('EIO');
    };
    await expect(append(journal, journal.begin())).rejects.toBeInstanceOf(NotRecorded);
    expect(journal.failure).toMatchObject({ code: 'EIO' });
    expect(await readdir(folder)).toEqual([]);
    await journal.close();
  });

  it('after a sync gives less than was synced: reading says so', async () => {
    for (const spoil of [
      (bytes: Buffer) => bytes.subarray(0, -1),
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.from('?')]),
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 60), Buffer.from('?'), bytes.subarray(61)]),
      (bytes: Buffer) => bytes.subarray(0, HEADER_BYTES),
      () => Buffer.alloc(0),
    ]) {
      const { journal } = await start();
      const segment = journal.begin();
      for (const id of ['a', 'b', 'c']) await append(journal, segment, id);
      await journal.seal(segment);
      await writeFile(segment.path, spoil(await readFile(segment.path)));
      await expect(journal.read(segment)).rejects.toThrow(/is not what was synced/);
      await journal.remove(segment);
      await journal.close();
    }
  });
});

describe('the space for segments', () => {
  it('is counted with what is not synced yet; when it is used up events are refused, until a segment is removed', async () => {
    const { journal, disk, telemetry } = await start({ maxBytes: 10_000 });
    const segment = journal.begin();
    await append(journal, segment, 'a', 5000);
    journal.admit(4000);
    expect(() => journal.admit(5000)).toThrow('the disk space for events that wait for ClickHouse is used up');
    const gate = Promise.withResolvers<void>();
    disk.before = (operation) => (operation === 'write' ? gate.promise : undefined);
    const pending = append(journal, segment, 'b', 3000);
    expect(() => journal.admit(4000)).toThrow('used up');
    gate.resolve();
    await pending;
    expect(() => journal.admit(4000)).toThrow('used up');
    // The next file is being made meanwhile.
    await expect.poll(async () => (await metric(telemetry, 'segment_bytes')) - journal.bytes).toBe(0);
    await journal.seal(segment);
    await journal.close();

    const again = await start({ maxBytes: 10_000 });
    const [left] = again.left;
    expect(again.journal.bytes).toBe(left?.file.length);
    expect(() => again.journal.admit(4000)).toThrow('used up');
    await again.journal.remove(left?.file as SegmentFile);
    again.journal.admit(9000);
    expect(again.journal.bytes).toBe(0);
    expect(await metric(again.telemetry, 'segments')).toBe(0);
  });

  it('does not grow in memory when the disk does not keep up', async () => {
    const { journal, disk } = await start();
    const segment = journal.begin();
    const gate = Promise.withResolvers<void>();
    disk.before = (operation) => (operation === 'write' ? gate.promise : undefined);
    journal.admit(100 * 1024 * 1024);
    const pending = journal.append(segment, (buffer) => buffer.append(Buffer.alloc(40 * 1024 * 1024)));
    journal.admit(20 * 1024 * 1024);
    expect(() => journal.admit(30 * 1024 * 1024)).toThrow('the disk does not keep up');
    gate.resolve();
    await pending;
    journal.admit(100 * 1024 * 1024);
    await journal.close();
  });
});

describe('opening', () => {
  const name = (number: number, id: string): string => `${String(number).padStart(12, '0')}-${id}.segment`;
  /** Of version 7, in which times are far in the past and fall with the numbers. */
  const idAt = (ms: number): string => `${ms.toString(16).padStart(12, '0').replace(/^(.{8})/, '$1-')}-7000-8000-${randomUUIDv7().slice(-12)}`;

  async function put(files: Readonly<Record<string, Buffer>>): Promise<void> {
    await mkdir(folder, { recursive: true });
    for (const [file, bytes] of Object.entries(files)) await writeFile(join(folder, file), bytes);
  }

  it('gives what is left in the order of the numbers, whatever ids and clocks say, and goes on behind the highest', async () => {
    const ids3 = [idAt(3000), idAt(2000), idAt(1000)] as const;
    await put(Object.fromEntries([11, 2, 9].map((number, i) => [name(number, ids3[i] as string), segmentBytes(ids3[i] as string, [`n${number}`])])));
    const { journal, segments, left } = await reopened();
    expect(ids(segments)).toEqual([['n2'], ['n9'], ['n11']]);
    expect(left.every(({ file }) => file.broken)).toBe(true);
    const segment = journal.begin();
    await append(journal, segment, 'behind');
    expect(segment.path).toContain(name(12, segment.id));
    await journal.seal(segment);
    await journal.close();
    expect(ids((await reopened()).segments)).toEqual([['n2'], ['n9'], ['n11'], ['behind']]);
  });

  it('removes what was never written to, whatever of its header is on disk, and still does not use its number again', async () => {
    const id = randomUUIDv7();
    const header = segmentHeader(id);
    for (const bytes of [Buffer.alloc(0), header.subarray(0, 9), header, Buffer.alloc(24), Buffer.alloc(4096), Buffer.concat([header.subarray(0, 12), Buffer.alloc(12)]), Buffer.concat([header, Buffer.alloc(4096)])]) {
      await put({ [name(7, id)]: bytes });
      const { journal, left } = await reopened();
      expect(left).toEqual([]);
      expect(await readdir(folder)).toEqual([]);
      expect(journal.begin().path).toContain('000000000008-');
      await journal.close();
      await rm(folder, { recursive: true });
    }
  });

  it('fails, and removes nothing, where a file may hold events and cannot be read', async () => {
    const id = randomUUIDv7();
    const whole = segmentBytes(id, ['a', 'b']);
    const changed = (at: number): Buffer => {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ 3;
      return bytes;
    };
    // Another version, no header any more, another id than in the name, something else altogether.
    for (const bytes of [changed(7), changed(0), changed(8), changed(23), Buffer.concat([Buffer.alloc(24), whole.subarray(24)]), Buffer.from('a text that somebody has put there')]) {
      await put({ [name(1, id)]: bytes });
      await expect(start()).rejects.toThrow(/cannot be read.* move the file out of the folder and keep it/);
      expect(await readFile(join(folder, name(1, id)))).toEqual(bytes);
    }
    await put({ [name(1, id)]: whole, 'copy of 1.segment': whole });
    await expect(start()).rejects.toThrow(/copy of 1.segment does not have a segment's name/);
    expect(await readdir(folder)).toHaveLength(2);
  });

  it('leaves files alone that are no segments', async () => {
    await put({ 'README.txt': Buffer.from('hello') });
    expect((await reopened()).left).toEqual([]);
    expect(await readdir(folder)).toEqual(['README.txt']);
  });

  it('cuts a torn segment, and says so', async () => {
    const id = randomUUIDv7();
    await put({ [name(1, id)]: segmentBytes(id, ['a', 'b']).subarray(0, -5), [name(2, randomUUIDv7())]: Buffer.alloc(4096) });
    const { segments, lines } = await reopened();
    expect(ids(segments)).toEqual([['a']]);
    expect(lines.filter((line) => line.includes('never acknowledged'))).toHaveLength(1);
  });

  it('gives what is whole of a damaged segment, and keeps the file as it is beside it, once', async () => {
    const id = randomUUIDv7();
    const bytes = segmentBytes(id, ['a', 'b', 'c']);
    bytes[HEADER_BYTES + 60] = 0;
    await put({ [name(1, id)]: bytes });
    for (let run = 0; run < 2; run++) {
      const { journal, left, segments, lines } = await reopened();
      expect(ids(segments)).toEqual([['b', 'c']]);
      expect(lines.filter((line) => line.includes('damaged'))).toHaveLength(1);
      expect((await readdir(folder)).toSorted()).toEqual([name(1, id), `${name(1, id)}.damaged`]);
      expect(await readFile(join(folder, `${name(1, id)}.damaged`))).toEqual(bytes);
      const segment = left[0]?.file as SegmentFile;
      expect((await journal.read(segment)).content.records).toHaveLength(2);
      if (run === 1) await journal.remove(segment);
    }
    expect(await readdir(folder)).toEqual([`${name(1, id)}.damaged`]);
  });

  it('keeps the whole of a damaged segment, also where the first copy could not be finished', async () => {
    const id = randomUUIDv7();
    const bytes = segmentBytes(id, ['a', 'b', 'c']);
    bytes[HEADER_BYTES + 60] = 0;
    await put({ [name(1, id)]: bytes });
    for (const operation of ['write', 'sync', 'rename', 'syncFolder'] as const) {
      const disk = new TestDisk();
      disk.space = operation === 'write' ? 100 : Number.POSITIVE_INFINITY;
      disk.before = (which, path) => {
        if (which === operation && which !== 'write' && path !== base) throw failure('ENOSPC');
      };
      await expect(start({ disk }), operation).rejects.toThrow('ENOSPC');
      disk.die();
      expect(await readFile(join(folder, name(1, id)))).toEqual(bytes);
    }
    expect((await start()).left).toHaveLength(1);
    expect((await readdir(folder)).toSorted()).toEqual([name(1, id), `${name(1, id)}.damaged`]);
    expect(await readFile(join(folder, `${name(1, id)}.damaged`))).toEqual(bytes);
  });
});
