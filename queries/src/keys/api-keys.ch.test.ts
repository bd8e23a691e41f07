import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import type { ApiKey } from './api-key.ts';
import { listApiKeys } from './list-api-keys.ts';
import { putApiKey } from './put-api-key.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());

const NOW = 1_772_366_400_000_001n;
const key: Omit<ApiKey, 'version'> = {
  tenant: 'acme', keyId: 'key_1', name: "Dana's gateway \\ 🦉", secretSha256: 'ab'.repeat(32), scopes: ['events:write', 'events:read'], createdAtUs: NOW, expiresAtUs: undefined, revokedAtUs: undefined,
  rate: { eventsPerSecond: undefined, requestsPerSecond: undefined },
};

describe('a key', () => {
  it('is as it was put last, whatever the order of writing', async () => {
    await putApiKey(test.store, key, NOW);
    expect(await listApiKeys(test.store)).toEqual([{ ...key, version: NOW }]);
    const expiring = { ...key, rate: { eventsPerSecond: 4_294_967_295, requestsPerSecond: 1 }, name: 'renamed', scopes: [], expiresAtUs: NOW + 5n };
    await putApiKey(test.store, expiring, NOW + 2n);
    await putApiKey(test.store, { ...key, revokedAtUs: NOW + 1n }, NOW + 1n);
    expect(await listApiKeys(test.store)).toEqual([{ ...expiring, version: NOW + 2n }]);
    // An end can be taken back: the newest state holds, also where it is empty.
    await putApiKey(test.store, { ...expiring, expiresAtUs: undefined }, NOW + 3n);
    expect(await listApiKeys(test.store)).toEqual([{ ...expiring, expiresAtUs: undefined, version: NOW + 3n }]);
    await test.store.command('OPTIMIZE TABLE api_keys FINAL');
    expect(await listApiKeys(test.store)).toEqual([{ ...expiring, expiresAtUs: undefined, version: NOW + 3n }]);
  });

  it('of one tenant is not that of another with the same id', async () => {
    const other = { ...key, tenant: 'other', createdAtUs: NOW - 1n, expiresAtUs: 9_223_372_036_854_775n, revokedAtUs: NOW };
    await putApiKey(test.store, other, NOW);
    expect((await listApiKeys(test.store)).map(({ tenant }) => tenant)).toEqual(['other', 'acme']);
    expect((await listApiKeys(test.store))[0]).toEqual({ ...other, version: NOW });
  });
});
