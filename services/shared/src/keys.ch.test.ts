import { Store } from '@agent-audit/queries';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startTestStore, type TestStore } from '../../../test/support/store.ts';
import type { Clock } from './clock.ts';
import { KeyRing } from './keys.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());
beforeEach(() => test.store.command('TRUNCATE TABLE api_keys'));

const log = pino({ level: 'silent' });

/** Stands still until it is moved. */
class HeldClock implements Clock {
  micros = 1_772_366_400_000_000n;

  monotonicMs(): number {
    return Number(this.micros / 1000n);
  }

  nowMicros(): bigint {
    return this.micros;
  }

  async sleep(): Promise<void> {
    // Nobody waits here.
  }

  pass(seconds: number): void {
    this.micros += BigInt(Math.round(seconds * 1e6));
  }
}

/** A ring whose clock moves on a little with each key, as a real one does. */
function newRing(clock = new HeldClock(), store: Store = test.store): { ring: KeyRing; clock: HeldClock } {
  return { ring: new KeyRing(store, clock, log), clock };
}

const gateway = { tenant: 'acme', name: 'gateway', scopes: ['events:write', 'events:read'] as const };

describe('create and authenticate', () => {
  it('knows the token, whose it is and what it may do', async () => {
    const { ring, clock } = newRing();
    const { key, token } = await ring.create(gateway);
    expect(token).toMatch(/^aa_[A-Za-z0-9_-]{43}$/);
    expect(await ring.authenticate(token)).toEqual({ tenant: 'acme', keyId: key.keyId, scopes: new Set(['events:write', 'events:read']) });
    expect(key.createdAtUs).toBe(clock.micros);
    for (const wrong of ['', token.slice(0, -1), `${token}x`, token.toUpperCase(), key.keyId, key.secretSha256]) expect(await ring.authenticate(wrong), wrong).toBeUndefined();
  });

  it('is known to another ring after its next look', async () => {
    const { ring } = newRing();
    const { ring: other, clock } = newRing();
    expect(await other.authenticate('x')).toBeUndefined();
    const { token } = await ring.create(gateway);
    clock.pass(6);
    // The list at hand is used while the new one is fetched.
    await other.authenticate(token);
    await expect.poll(() => other.authenticate(token)).toMatchObject({ tenant: 'acme' });
  });

  // `#put` joins a read that was under way before the key was written, and keeps the list from before for 5 s.
  it('knows it at once also when the list is being read at that moment', async () => {
    const store = new Store(test.options);
    const { ring, clock } = newRing(new HeldClock(), store);
    await ring.create(gateway);
    const answered = Promise.withResolvers<void>();
    const select = store.select.bind(store);
    // The first read from now on has its answer, which is slow to arrive.
    store.select = (async (...args: Parameters<Store['select']>) => {
      store.select = select;
      const rows = await select(...args);
      await answered.promise;
      return rows;
    }) as Store['select'];
    clock.pass(6);
    await ring.authenticate('somebody else, whose request starts a read');
    setTimeout(() => answered.resolve(), 300);
    const { token } = await ring.create(gateway);
    expect(await ring.authenticate(token)).toMatchObject({ tenant: 'acme' });
    await store.close();
  });

  it('never stores the token, nor anything of it but its digest', async () => {
    const { ring } = newRing();
    const { token } = await ring.create(gateway);
    const rows = await test.store.select('SELECT * FROM api_keys', {}, z.record(z.string(), z.unknown()));
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain(token.slice(3, 20));
    expect(rows[0]?.['secret_sha256']).toMatch(/^[0-9a-f]{64}$/);
  });

  it('lists the keys of one tenant, oldest first', async () => {
    const { ring, clock } = newRing();
    const made = [];
    for (const name of ['one', 'two', 'three']) {
      made.push((await ring.create({ ...gateway, name })).key);
      clock.pass(1);
    }
    await ring.create({ ...gateway, tenant: 'other' });
    expect(await ring.list('acme')).toMatchObject(made);
    expect(await ring.list('nobody')).toEqual([]);
  });
});

describe('expiry', () => {
  it('ends a key at its moment', async () => {
    const { ring, clock } = newRing();
    const { token } = await ring.create({ ...gateway, expiresAtUs: clock.micros + 10_000_000n });
    clock.pass(9.999_999);
    expect(await ring.authenticate(token)).toBeDefined();
    clock.pass(0.000_001);
    expect(await ring.authenticate(token)).toBeUndefined();
  });
});

describe('revoke', () => {
  it('ends a key at once and for good', async () => {
    const { ring, clock } = newRing();
    const { key, token } = await ring.create(gateway);
    clock.pass(1);
    expect(await ring.revoke('acme', key.keyId)).toMatchObject({ ...key, revokedAtUs: clock.micros });
    expect(await ring.authenticate(token)).toBeUndefined();
    clock.pass(1);
    expect((await ring.revoke('acme', key.keyId))?.revokedAtUs).toBe(clock.micros - 1_000_000n);
    expect(await newRing(clock).ring.authenticate(token)).toBeUndefined();
    expect(await ring.list('acme')).toHaveLength(1);
  });

  it('knows no key of another tenant', async () => {
    const { ring } = newRing();
    const { key, token } = await ring.create(gateway);
    expect(await ring.revoke('other', key.keyId)).toBeUndefined();
    expect(await ring.revoke('acme', 'key_none')).toBeUndefined();
    expect(await ring.authenticate(token)).toBeDefined();
  });

  // The version of a state is the clock's time, so a state written under an earlier time never holds: the answer
  // is 204 and the key goes on working. The version must be above the one before, whatever the clock says.
  it('holds also when the clock was set back since the key was made', async () => {
    const { ring, clock } = newRing();
    const { key, token } = await ring.create(gateway);
    clock.pass(-60);
    await ring.revoke('acme', key.keyId);
    expect(await ring.authenticate(token)).toBeUndefined();
  });
});

describe('ensureAdminKey', () => {
  it('makes one at the first start, and says it only then', async () => {
    const { ring, clock } = newRing();
    const token = await ring.ensureAdminKey(undefined);
    expect(await ring.authenticate(token as string)).toEqual({ tenant: 'default', keyId: 'admin', scopes: new Set(['events:write', 'events:read', 'exports', 'rules', 'admin']) });
    clock.pass(1);
    expect(await ring.ensureAdminKey(undefined)).toBeUndefined();
    expect(await newRing(clock).ring.ensureAdminKey(undefined)).toBeUndefined();
    expect(await ring.authenticate(token as string)).toBeDefined();
  });

  it('takes the one that is given, and never says it', async () => {
    const { ring, clock } = newRing();
    const [first, second] = ['first-key-'.repeat(4), 'second-key-'.repeat(4)];
    expect(await ring.ensureAdminKey(first)).toBeUndefined();
    expect(await ring.authenticate(first)).toMatchObject({ keyId: 'admin' });
    clock.pass(1);
    expect(await ring.ensureAdminKey(second)).toBeUndefined();
    expect(await ring.authenticate(second)).toMatchObject({ keyId: 'admin' });
    expect(await ring.authenticate(first)).toBeUndefined();
    clock.pass(1);
    // And back again, as when a deployment is rolled back.
    await ring.ensureAdminKey(first);
    expect(await ring.authenticate(first)).toBeDefined();
    expect(await ring.authenticate(second)).toBeUndefined();
    expect(await ring.list('default')).toHaveLength(1);
  });

  it('writes nothing when the same key is given again', async () => {
    const { ring, clock } = newRing();
    await ring.ensureAdminKey('k'.repeat(40));
    clock.pass(1);
    await ring.ensureAdminKey('k'.repeat(40));
    expect(await test.store.select('SELECT count() AS n FROM api_keys', {}, z.object({ n: z.string() }))).toEqual([{ n: '1' }]);
  });

  it('gives a revoked one back its life only when it is given', async () => {
    const { ring, clock } = newRing();
    await ring.ensureAdminKey('k'.repeat(40));
    clock.pass(1);
    await ring.revoke('default', 'admin');
    clock.pass(1);
    expect(await ring.ensureAdminKey(undefined)).toBeUndefined();
    expect(await ring.authenticate('k'.repeat(40))).toBeUndefined();
    await ring.ensureAdminKey('k'.repeat(40));
    expect(await ring.authenticate('k'.repeat(40))).toBeDefined();
  });
});

describe('the store being away', () => {
  it('does not end the keys at hand', async () => {
    const store = new Store(test.options);
    const { ring, clock } = newRing(new HeldClock(), store);
    const { token } = await ring.create(gateway);
    store.select = () => Promise.reject(new Error('away'));
    clock.pass(60);
    expect(await ring.authenticate(token)).toBeDefined();
    expect(await ring.authenticate('x')).toBeUndefined();
    await store.close();
  });

  it('lets nobody in before the keys could be read once', async () => {
    const { ring } = newRing(new HeldClock(), { select: () => Promise.reject(new Error('away')) } as unknown as Store);
    await expect(ring.authenticate('x')).rejects.toThrow('away');
  });
});
