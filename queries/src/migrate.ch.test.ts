import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startTestEngine, type TestStore } from '../../test/support/store.ts';
import { migrate } from './migrate.ts';
import type { StoreOptions } from './clickhouse-client.ts';
import { Store } from './store.ts';

const DDL = new URL('../ddl/', import.meta.url);

let test: Omit<TestStore, 'store'>;
let files: string[];
beforeAll(async () => {
  test = await startTestEngine();
  files = (await readdir(DDL)).toSorted();
});
afterAll(() => test[Symbol.asyncDispose]());

const on = (database: string): StoreOptions => ({ ...test.options, database });

async function ask<T>(database: string, sql: string, row: z.ZodType<T>): Promise<T[]> {
  const store = new Store(on(database));
  try {
    return await store.select(sql, {}, row);
  } finally {
    await store.close();
  }
}

async function command(database: string, sql: string): Promise<void> {
  const store = new Store(on(database));
  try {
    await store.command(sql);
  } finally {
    await store.close();
  }
}

const Column = z.object({ table: z.string(), name: z.string(), type: z.string() });
const columns = (database: string): Promise<z.infer<typeof Column>[]> =>
  ask(database, 'SELECT table, name, type FROM system.columns WHERE database = currentDatabase() ORDER BY table, position', Column);
const Applied = z.object({ name: z.string(), checksum: z.string() });
const applied = (database: string): Promise<z.infer<typeof Applied>[]> => ask(database, 'SELECT name, checksum FROM schema_migrations ORDER BY name', Applied);

describe('migrate', () => {
  it('applies every file once, and notes its digest', async () => {
    expect(await migrate(on('one'))).toEqual(files);
    const digests = await Promise.all(files.map(async (name) => createHash('sha256').update(await readFile(new URL(name, DDL))).digest('hex')));
    expect(await applied('one')).toEqual(files.map((name, i) => ({ name, checksum: digests[i] })));
    expect([...new Set((await columns('one')).map(({ table }) => table))]).toEqual(['api_keys', 'collector_runs', 'erasures', 'event_marks', 'event_tombstones', 'events', 'heartbeats', 'quarantine', 'quarantine_dropped', 'quarantine_replays', 'schema_migrations', 'segments']);
  });

  it('applies nothing at the second start', async () => {
    expect(await migrate(on('one'))).toEqual([]);
    expect(await applied('one')).toHaveLength(files.length);
  });

  it('gives the same schema when several start at once on a fresh engine', async () => {
    const started = await Promise.all([1, 2, 3].map(() => migrate(on('several'))));
    expect(new Set(started.flat())).toEqual(new Set(files));
    expect(await columns('several')).toEqual(await columns('one'));
    expect(await migrate(on('several'))).toEqual([]);
  });

  it('goes on where an earlier start ended', async () => {
    await migrate(on('broken_off'));
    await command('broken_off', `ALTER TABLE schema_migrations DELETE WHERE name = '${files.at(-1)}' SETTINGS mutations_sync = 2`);
    await command('broken_off', 'DROP TABLE event_tombstones SYNC');
    expect(await migrate(on('broken_off'))).toEqual(files.slice(-1));
    expect(await columns('broken_off')).toEqual(await columns('one'));
  });

  it('keeps what is stored', async () => {
    await command('one', "INSERT INTO quarantine (tenant, event_id) VALUES ('t', 'kept')");
    await migrate(on('one'));
    expect(await ask('one', 'SELECT event_id FROM quarantine', z.object({ event_id: z.string() }))).toEqual([{ event_id: 'kept' }]);
  });

  // The files cannot be pointed elsewhere, so what was noted of one of them is changed instead.
  it('refuses a file that was changed after it was applied, and applies nothing', async () => {
    await migrate(on('changed'));
    await command('changed', 'DROP TABLE event_tombstones SYNC');
    await command('changed', `ALTER TABLE schema_migrations UPDATE checksum = 'other' WHERE name = '${files[0]}' SETTINGS mutations_sync = 2`);
    await command('changed', `ALTER TABLE schema_migrations DELETE WHERE name = '${files.at(-1)}' SETTINGS mutations_sync = 2`);
    await expect(migrate(on('changed'))).rejects.toThrow(`queries/ddl/${files[0]} was changed after it was applied to database changed`);
    expect((await columns('changed')).some(({ table }) => table === 'event_tombstones')).toBe(false);
  });
});
