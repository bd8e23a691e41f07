import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import { countDropped, countQuarantined } from './count-quarantined.ts';
import { dropOrphanedReplays, dropQuarantine, momentOfShare, quarantineDays } from './drop-quarantine.ts';
import { findQuarantined } from './find-quarantined.ts';
import { listQuarantine, type ListQuarantine, type QuarantinedRow } from './list-quarantine.ts';
import { encodeQuarantine, type QuarantineRow } from './quarantine-block.ts';
import { readQuarantined, whileBytesFit } from './read-quarantined.ts';
import { findReplays, putReplays, type Replay } from './replays.ts';

const NOW = 1_772_366_400_000_000n;
const errors = [{ path: '/tool/name', code: 'required', message: 'is required; "quoted" and ž' }];
const refused = (i: number, fields: Partial<QuarantineRow> = {}): QuarantineRow => ({
  tenant: 't', quarantineId: randomUUID(), receivedAtMicros: NOW + BigInt(i), collectorId: 'c1', origin: 'http:key_1', eventId: `e-${i}`, errors, raw: Buffer.from(`{"n":${i}`), ...fields,
});

let test: TestStore;
const rows = [
  ...[0, 1, 2, 3, 4, 5, 6].map((i) => refused(Math.floor(i / 3))),
  refused(9, { raw: Buffer.from([0xff, 0, 0xc3, 0x28]), eventId: '' }),
  refused(10, { raw: Buffer.alloc(0), errors: [] }),
];

beforeAll(async () => {
  test = await startTestStore();
  for (const part of [rows.slice(0, 4), rows.slice(4), [refused(1, { tenant: 'other' })]]) await insert(part);
});
afterAll(() => test[Symbol.asyncDispose]());

async function insert(part: readonly QuarantineRow[]): Promise<void> {
  const { columnNames, block } = encodeQuarantine(part);
  await test.store.insertNative('quarantine', columnNames, block, randomUUID());
}

async function pages(query: Partial<ListQuarantine>): Promise<QuarantinedRow[]> {
  const all: QuarantinedRow[] = [];
  for (let after: ListQuarantine['after']; ;) {
    const page = await listQuarantine(test.store, { tenant: 't', fromUs: NOW, toUs: NOW + 100n, order: 'asc', limit: 2, ...query, after });
    all.push(...page);
    const last = page.at(-1);
    if (last === undefined) return all;
    after = { receivedAtUs: last.received_at_us, quarantineId: last.quarantine_id };
  }
}

describe('listQuarantine', () => {
  it('gives back what was kept', async () => {
    const found = new Map((await pages({ limit: 100 })).map((row) => [row.quarantine_id, row]));
    expect(found.size).toBe(rows.length);
    for (const row of rows) {
      expect(found.get(row.quarantineId)).toEqual({
        quarantine_id: row.quarantineId, received_at_us: row.receivedAtMicros, collector_id: 'c1', origin: 'http:key_1', event_id: row.eventId, errors: JSON.stringify(row.errors),
        bytes: row.raw.length,
      });
    }
    const raw = await readQuarantined(test.store, 't', [...found.values()]);
    expect(raw).toEqual(new Map(rows.map((row) => [row.quarantineId, Buffer.from(row.raw).toString('base64')])));
    expect(await readQuarantined(test.store, 'other', [...found.values()])).toEqual(new Map());
    expect(await readQuarantined(test.store, 't', [])).toEqual(new Map());
  });

  it('finds entries by id, of their tenant only', async () => {
    const wanted = [rows[8], rows[0]].map((row) => row?.quarantineId as string);
    expect((await findQuarantined(test.store, 't', [...wanted, randomUUID()])).map((row) => row.quarantine_id)).toEqual(wanted.toReversed());
    expect(await findQuarantined(test.store, 'other', wanted)).toEqual([]);
  });

  it('those with an error of one code', async () => {
    expect(await pages({ code: 'required' })).toHaveLength(8);
    expect(await pages({ code: 'too_big' })).toEqual([]);
    expect(await pages({ code: "x' OR 1" })).toEqual([]);
  });

  it.each([1, 2, 3, 4, 9, 100])('shows each once, also where many came in one microsecond, %i to a page', async (limit) => {
    const forth = (await pages({ limit })).map((row) => row.quarantine_id);
    const back = (await pages({ limit, order: 'desc' })).map((row) => row.quarantine_id);
    expect(new Set(forth).size).toBe(rows.length);
    expect(forth).toHaveLength(rows.length);
    expect(back).toEqual(forth.toReversed());
  });

  it('keeps to the window and the tenant', async () => {
    expect(await pages({ fromUs: NOW + 1n, toUs: NOW + 2n })).toHaveLength(3);
    expect(await pages({ toUs: NOW })).toEqual([]);
    expect(await pages({ tenant: 'other' })).toHaveLength(1);
    expect(await pages({ tenant: 'nobody' })).toEqual([]);
  });
});

describe('countQuarantined', () => {
  it('counts in whole microseconds, outwards', async () => {
    const count = (from: bigint, to: bigint): Promise<number> => countQuarantined(test.store, 't', { fromNs: from, toNs: to });
    expect(await count(NOW * 1000n, (NOW + 100n) * 1000n)).toBe(9);
    expect(await count(NOW * 1000n, (NOW + 1n) * 1000n)).toBe(3);
    expect(await count((NOW + 9n) * 1000n + 999n, (NOW + 10n) * 1000n)).toBe(1);
    expect(await count((NOW + 9n) * 1000n, (NOW + 10n) * 1000n + 1n)).toBe(2);
    expect(await count(-1_500n, -1n)).toBe(0);
  });
});

describe('whileBytesFit', () => {
  const entries = (...bytes: number[]): QuarantinedRow[] => bytes.map((n) => ({ quarantine_id: `${n}`, received_at_us: 0n, collector_id: '', origin: '', event_id: '', errors: '[]', bytes: n }));

  it.each([[[1, 2, 3], 3, 2], [[1, 2, 3], 6, 3], [[9, 1], 3, 1], [[9], 3, 1], [[], 3, 0], [[3, 0, 0, 1], 3, 3]])('%j of %i bytes: %i', (bytes, max, fit) => {
    expect(whileBytesFit(entries(...bytes), max)).toHaveLength(fit);
  });
});

const DAY = 86_400_000_000n;

/** A tenant with two entries on each of these days, counted from NOW. */
async function tenantWith(tenant: string, ...days: bigint[]): Promise<QuarantineRow[]> {
  const entries = days.flatMap((day) => [0n, 5_000_000n].map((later) => refused(1, { tenant, receivedAtMicros: NOW + day * DAY + later })));
  for (const entry of entries) await insert([entry]);
  return entries;
}

const mark = (row: QuarantineRow, fields: Partial<Replay> = {}): Replay => ({
  quarantineId: row.quarantineId, receivedAtUs: row.receivedAtMicros, replayedAtUs: NOW + 9n * DAY, origin: 'http:key_2', eventId: 'e-new', corrected: false, ...fields,
});
const outstanding = (tenant: string, from = -500n, to = 500n): Promise<number> =>
  countQuarantined(test.store, tenant, { fromNs: (NOW + from * DAY) * 1000n, toNs: (NOW + to * DAY) * 1000n });

describe('replays', () => {
  it('are counted off, once, in the window of the entry', async () => {
    const [a, b, c] = (await tenantWith('marked', 0n, 1n)) as [QuarantineRow, QuarantineRow, QuarantineRow];
    expect(await outstanding('marked')).toBe(4);
    await putReplays(test.store, 'marked', [mark(a), mark(c)]);
    await putReplays(test.store, 'marked', [mark(a, { replayedAtUs: NOW + 10n * DAY, corrected: true })]);
    expect([await outstanding('marked'), await outstanding('marked', 0n, 1n), await outstanding('marked', 1n, 2n), await outstanding('other')]).toEqual([2, 1, 1, 1]);
    expect(await findReplays(test.store, 'marked', [a, b, c].map((row) => row.quarantineId))).toEqual(new Map([[a.quarantineId, mark(a)], [c.quarantineId, mark(c)]]));
    expect(await findReplays(test.store, 'other', [a.quarantineId])).toEqual(new Map());
    const listed = async (state: 'quarantined' | 'replayed'): Promise<string[]> =>
      (await listQuarantine(test.store, { tenant: 'marked', fromUs: NOW, toUs: NOW + 9n * DAY, order: 'asc', limit: 10, state })).map((row) => row.quarantine_id);
    expect(await listed('replayed')).toEqual([a.quarantineId, c.quarantineId]);
    expect(await listed('quarantined')).toHaveLength(2);
  });

  it('over more days than a block may have partitions', async () => {
    const entry = refused(1);
    const replays = Array.from({ length: 120 }, (_, i) => mark({ ...entry, quarantineId: randomUUID() }, { receivedAtUs: NOW - BigInt(i) * DAY }));
    await putReplays(test.store, 'many-days', replays);
    const found = async (): Promise<number> => (await findReplays(test.store, 'many-days', replays.map((replay) => replay.quarantineId))).size;
    expect(await found()).toBe(120);
    // Entries there are on the first day only.
    await dropOrphanedReplays(test.store);
    expect(await found()).toBe(1);
  });
});

describe('dropping', () => {
  it('a day leaves its numbers behind, for each tenant', async () => {
    const [a] = (await tenantWith('old', -400n, -399n)) as [QuarantineRow];
    await tenantWith('old-too', -400n);
    await putReplays(test.store, 'old', [mark(a)]);
    expect((await quarantineDays(test.store)).slice(0, 2)).toEqual([{ day: '2025-01-25', bytes: expect.any(Number), entries: 4 }, { day: '2025-01-26', bytes: expect.any(Number), entries: 2 }]);
    expect(await dropQuarantine(test.store, '2025-01-25', 'age', NOW)).toEqual({ entries: 4, bytes: 24 });
    expect(await dropQuarantine(test.store, '2025-01-25', 'age', NOW)).toEqual({ entries: 0, bytes: 0 });
    expect((await quarantineDays(test.store))[0]?.day).toBe('2025-01-26');
    expect([await outstanding('old'), await outstanding('old-too'), await outstanding('old', -399n)]).toEqual([3, 2, 2]);
    const window = { fromNs: (NOW - 401n * DAY) * 1000n, toNs: NOW * 1000n };
    expect([await countDropped(test.store, 'old', window), await countDropped(test.store, 'marked', window)]).toEqual([1, 0]);
    // What came later on a day that was dropped is counted by itself.
    await tenantWith('old', -400n);
    expect(await outstanding('old')).toBe(5);
    await dropQuarantine(test.store, '2025-01-25', 'size', NOW);
    expect(await outstanding('old')).toBe(5);
  });

  it('a part of a day, by its bytes', async () => {
    const day = '2025-01-01';
    const begin = BigInt(Date.parse(`${day}T00:00:00Z`)) * 1000n;
    const entries = Array.from({ length: 100 }, (_, i) => refused(0, { tenant: 'cut', receivedAtMicros: begin + BigInt(i), raw: Buffer.alloc(100) }));
    await insert(entries);
    await putReplays(test.store, 'cut', [entries[0], entries[99]].map((row) => mark(row as QuarantineRow)));
    const before = await momentOfShare(test.store, day, 0.25);
    expect(await dropQuarantine(test.store, day, 'size', NOW, before)).toEqual({ entries: Number(before - begin), bytes: 100 * Number(before - begin) });
    expect(Number(before - begin)).toBeGreaterThan(20);
    expect(Number(before - begin)).toBeLessThan(30);
    const left = await listQuarantine(test.store, { tenant: 'cut', fromUs: 0n, toUs: NOW, order: 'asc', limit: 1000 });
    expect(left.map((row) => row.received_at_us)).toEqual(entries.map((row) => row.receivedAtMicros).filter((at) => at >= before));
    expect(await outstanding('cut')).toBe(98);
  });

  it('is counted once also when it died between counting and dropping', async () => {
    await tenantWith('died', -300n);
    const day = (await quarantineDays(test.store)).find(({ entries, day: name }) => entries === 2 && name < '2025-06-01' && name > '2025-05-01')?.day as string;
    // What a pass writes down before it drops.
    const { store } = test;
    const command = store.command.bind(store);
    store.command = () => Promise.reject(new Error('died'));
    await expect(dropQuarantine(store, day, 'age', NOW)).rejects.toThrow('died');
    store.command = command;
    expect(await outstanding('died')).toBe(4);
    await dropQuarantine(store, day, 'age', NOW + 1n);
    expect(await outstanding('died')).toBe(2);
  });
});
