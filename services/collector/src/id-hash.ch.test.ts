import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { insertRows, startTestStore, type TestStore } from '../../../test/support/store.ts';
import { recordedIdHashes } from '@agent-audit/queries';
import { toolCall } from '../../../test/support/events.ts';
import { Random } from '../../../test/support/random.ts';
import { murmurHash3, xxHash32 } from './id-hash.ts';
import { SeenIds } from './seen-ids.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());

const Row = z.object({ x: z.number(), m: z.number() });

/** What the engine makes of the same bytes. */
function ofEngine(values: readonly Uint8Array[]): Promise<z.infer<typeof Row>[]> {
  return test.store.select(
    'SELECT xxHash32(v) AS x, murmurHash3_32(v) AS m FROM (SELECT unhex(arrayJoin({values: Array(String)})) AS v)',
    { values: values.map((value) => Buffer.from(value).toString('hex')) },
    Row,
  );
}

describe('the hashes', () => {
  it('are the engine\'s, of every length from 0 to 200', async () => {
    const random = new Random(1);
    for (let round = 0; round < 3; round++) {
      const values = Array.from({ length: 201 }, (_, length) => Uint8Array.from({ length }, () => random.int(256)));
      expect(values.map((value) => ({ x: xxHash32(value), m: murmurHash3(value) }))).toEqual(await ofEngine(values));
    }
  });

  it('are the engine\'s of ids behind a tenant and a NUL', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.stringMatching(/^[A-Za-z0-9._-]{1,128}$/), fc.stringMatching(/^[A-Za-z0-9._:-]{1,128}$/)), { minLength: 1, maxLength: 50 }), async (pairs) => {
        const values = pairs.map(([tenant, id]) => Buffer.from(`${tenant}\0${id}`));
        expect(values.map((value) => ({ x: xxHash32(value), m: murmurHash3(value) }))).toEqual(await ofEngine(values));
      }),
      { numRuns: 20 },
    );
  });

  it('look at the first bytes only where a length is given', () => {
    const bytes = Buffer.from('tenant\0event-with-a-long-id-and-more-behind-it');
    for (let length = 0; length <= bytes.length; length++) {
      expect(xxHash32(bytes, length)).toBe(xxHash32(bytes.subarray(0, length)));
      expect(murmurHash3(bytes, length)).toBe(murmurHash3(bytes.subarray(0, length)));
    }
  });
});

describe('ids that are recorded', () => {
  it('are known once their hashes are learned from the engine', async () => {
    const tenants = ['t', 'x'.repeat(128)];
    const ids = ['a', 'e-1', 'x'.repeat(128), '01JD9Z6Q6W8H3T9V5X2B7N4M1K', 'urn:uuid:1'];
    await insertRows(test.store, tenants.flatMap((tenant) => ids.map((id) => ({ tenant, event: toolCall({ event_id: id }) }))));
    const seen = new SeenIds();
    for await (const chunk of recordedIdHashes(test.store)) for (let i = 0; i < chunk.length; i += 8) seen.addHashes(chunk.readUInt32LE(i), chunk.readUInt32LE(i + 4));
    for (const tenant of tenants) for (const id of ids) expect(seen.add(tenant, Buffer.from(id), 0, id.length)).toBe(false);
    expect(seen.add('t', Buffer.from('new'), 0, 3)).toBe(true);
  });
});
