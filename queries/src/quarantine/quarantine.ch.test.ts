import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import { countQuarantined } from './count-quarantined.ts';
import { listQuarantine, type ListQuarantine, type QuarantinedRow } from './list-quarantine.ts';
import { encodeQuarantine, type QuarantineRow } from './quarantine-block.ts';

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
  for (const part of [rows.slice(0, 4), rows.slice(4), [refused(1, { tenant: 'other' })]]) {
    const { columnNames, block } = encodeQuarantine(part);
    await test.store.insertNative('quarantine', columnNames, block, randomUUID());
  }
});
afterAll(() => test[Symbol.asyncDispose]());

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
        raw_base64: Buffer.from(row.raw).toString('base64'),
      });
    }
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
