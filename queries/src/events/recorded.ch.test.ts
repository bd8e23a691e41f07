import { hash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { at, NOON, toolCall } from '../../../test/support/events.ts';
import { insertRows, RECEIVED_AT, startTestStore, type TestStore } from '../../../test/support/store.ts';
import type { Store } from '../store.ts';
import { countSegment } from './count-segment.ts';
import { findRecorded } from './find-recorded.ts';
import { getEvent } from './get-event.ts';
import { logSizes } from './log-sizes.ts';
import { ID_HASH_BYTES, recordedIdHashes } from './recorded-id-hashes.ts';

let test: TestStore;
const segment = randomUUID();
const first = toolCall({ event_id: 'both', time: at(NOON) });
const second = toolCall({ event_id: 'both', time: at(NOON), attributes: { other: 'bytes' } });
const long = toolCall({ event_id: 'x'.repeat(128) });

beforeAll(async () => {
  test = await startTestStore();
  await insertRows(test.store, [
    { event: first, logIndex: 0 },
    { event: toolCall({ event_id: 'single' }), logIndex: 1, receivedAtMicros: RECEIVED_AT + 1 },
    { event: long, logIndex: 2, receivedAtMicros: RECEIVED_AT + 2 },
  ], segment);
  await insertRows(test.store, [
    { event: second, logIndex: 3, receivedAtMicros: RECEIVED_AT + 5, flags: 4 },
    { event: first, logIndex: 9, collectorId: 'c2', receivedAtMicros: RECEIVED_AT + 9 },
    { event: toolCall({ event_id: 'both' }), tenant: 'another', logIndex: 41 },
    { event: first, tenant: 'back', collectorId: 'c4', logIndex: 0 },
    { event: second, tenant: 'back', collectorId: 'c4', logIndex: 1, receivedAtMicros: RECEIVED_AT - 3_600_000_000, flags: 4 },
  ]);
});
afterAll(() => test[Symbol.asyncDispose]());

const sha256 = (value: unknown): string => hash('sha256', JSON.stringify(value), 'hex');

describe('findRecorded', () => {
  it('tells which ids there are, and every text recorded under each', async () => {
    expect(await findRecorded(test.store, 't', ['both', 'single', 'none', 'BOTH', ''])).toEqual(
      new Map([['both', new Set([sha256(first), sha256(second)])], ['single', expect.any(Set)]]),
    );
    expect(await findRecorded(test.store, 't', [])).toEqual(new Map());
    expect(await findRecorded(test.store, 'nobody', ['both'])).toEqual(new Map());
  });

  it('takes 1,000 of the longest ids at once', async () => {
    const ids = Array.from({ length: 999 }, (_, i) => `${i}`.padStart(128, '_'));
    expect([...(await findRecorded(test.store, 't', [...ids, long.event_id])).keys()]).toEqual([long.event_id]);
  });
});

describe('getEvent', () => {
  it('shows each text once, the first recorded first', async () => {
    const rows = await getEvent(test.store, 't', 'both');
    expect(rows.map(({ raw, flags, log_index: index, collector_id: collector }) => [raw, flags & 4, index, collector])).toEqual([[JSON.stringify(first), 0, 0, 'c1'], [JSON.stringify(second), 4, 3, 'c1']]);
    expect(rows[0]).toMatchObject({ event_id: 'both', agent_id: first.agent.id, time_ns: NOON, received_at_us: BigInt(RECEIVED_AT), tenant: 't' });
  });

  it('shows the first recorded first also where the clock was set back between the two', async () => {
    expect((await getEvent(test.store, 'back', 'both')).map(({ log_index: index }) => index)).toEqual([0, 1]);
  });

  it('knows no event of another tenant, and none that is not there', async () => {
    expect(await getEvent(test.store, 'another', 'single')).toEqual([]);
    expect(await getEvent(test.store, 'another', 'both')).toHaveLength(1);
    expect(await getEvent(test.store, 't', "'")).toEqual([]);
  });
});

describe('logSizes', () => {
  it('of one collector, by tenant', async () => {
    expect(await logSizes(test.store, 'c1')).toEqual(new Map([['t', 4], ['another', 42]]));
    expect(await logSizes(test.store, 'c2')).toEqual(new Map([['t', 10]]));
    expect(await logSizes(test.store, 'c3')).toEqual(new Map());
  });
});

describe('countSegment', () => {
  it('counts the rows of one segment, both ends of the time of receipt included', async () => {
    expect(await countSegment(test.store, segment, RECEIVED_AT, RECEIVED_AT + 2)).toBe(3);
    expect(await countSegment(test.store, segment, RECEIVED_AT + 1, RECEIVED_AT + 1)).toBe(1);
    expect(await countSegment(test.store, segment, RECEIVED_AT + 3, RECEIVED_AT + 9)).toBe(0);
    expect(await countSegment(test.store, randomUUID(), RECEIVED_AT, RECEIVED_AT + 9)).toBe(0);
  });
});

describe('recordedIdHashes', () => {
  it('has one record a row, of any tenant', async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of recordedIdHashes(test.store)) chunks.push(chunk);
    expect(Buffer.concat(chunks).length).toBe(8 * ID_HASH_BYTES);
  });

  it.each([[[1, 1, 1, 1, 1, 1, 1, 1, 8]], [[7, 2, 7, 8]], [[24]], [[3, 20, 1]], [[0, 12, 0, 12]], [[8, 8, 8]], [[]]])('gives whole records where chunks are cut at %j', async (cuts) => {
    const bytes = Buffer.from(Array.from({ length: cuts.reduce((sum, cut) => sum + cut, 0) }, (_, i) => i));
    const source = {
      async *stream() {
        // One buffer for all chunks, as a socket may do it.
        let from = 0;
        const reused = Buffer.alloc(32);
        for (const cut of cuts) {
          bytes.copy(reused, 0, from, from + cut);
          from += cut;
          yield reused.subarray(0, cut);
        }
      },
    };
    const got: Buffer[] = [];
    for await (const chunk of recordedIdHashes(source as unknown as Store)) {
      expect(chunk.length % ID_HASH_BYTES).toBe(0);
      expect(chunk.length).toBeGreaterThan(0);
      got.push(Buffer.from(chunk));
    }
    expect(Buffer.concat(got)).toEqual(bytes);
  });

  it('says when the stream ends inside a record', async () => {
    const source = { async *stream() { yield Buffer.alloc(11); } };
    await expect(Array.fromAsync(recordedIdHashes(source as unknown as Store))).rejects.toThrow('3 bytes over');
  });
});
