import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { StoreOptions } from './clickhouse-client.ts';
import { Store } from './store.ts';

const DDL = new URL('../ddl/', import.meta.url);

const Applied = z.object({ name: z.string(), checksum: z.string() });

/**
 * Brings the database to the schema of `ddl/*.sql`: each file once, in the order of its number.
 *
 * Two processes may start together. ClickHouse has no lock to hand out, so every statement in
 * `ddl/` must be repeatable (`IF NOT EXISTS`): whoever comes second changes nothing.
 *
 * @returns the names of the files applied now
 * @throws Error when a file that was applied before has been changed since
 */
export async function migrate(options: StoreOptions): Promise<string[]> {
  await createDatabase(options);
  const store = new Store(options);
  try {
    await store.command(
      `CREATE TABLE IF NOT EXISTS schema_migrations (name String, checksum String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6))
       ENGINE = MergeTree ORDER BY name SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
    );
    const rows = await store.select('SELECT DISTINCT name, checksum FROM schema_migrations', {}, Applied);
    const applied = new Map(rows.map((row) => [row.name, row.checksum]));
    const done: string[] = [];
    for (const name of await migrationNames()) {
      const text = await readFile(new URL(name, DDL), 'utf8');
      const checksum = createHash('sha256').update(text).digest('hex');
      const before = applied.get(name);
      if (before === checksum) continue;
      if (before !== undefined) {
        throw new Error(`queries/ddl/${name} was changed after it was applied to database ${options.database}; put the change into a new file with the next number`);
      }
      for (const statement of splitStatements(text)) await store.command(statement);
      await store.command('INSERT INTO schema_migrations (name, checksum) VALUES ({name: String}, {checksum: String})', { name, checksum });
      done.push(name);
    }
    return done;
  } finally {
    await store.close();
  }
}

async function createDatabase(options: StoreOptions): Promise<void> {
  const store = new Store({ ...options, database: 'default' });
  try {
    await store.command('CREATE DATABASE IF NOT EXISTS {database: Identifier}', { database: options.database });
  } finally {
    await store.close();
  }
}

async function migrationNames(): Promise<string[]> {
  const names = (await readdir(DDL)).filter((name) => name.endsWith('.sql')).toSorted();
  names.forEach((name, i) => {
    if (!name.startsWith(`${String(i + 1).padStart(4, '0')}_`)) throw new Error(`queries/ddl/${name} is out of step: numbers run from 0001 without holes`);
  });
  return names;
}

/** Splits at `;` outside of comments and quotes. */
export function splitStatements(text: string): string[] {
  const statements: string[] = [];
  let current = '';
  const tokens = /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\]|\\[\s\S]|'')*'|`(?:[^`\\]|\\[\s\S])*`|"(?:[^"\\]|\\[\s\S])*"|;|[^-/'`";]+|[\s\S]/g;
  for (const [token] of text.matchAll(tokens)) {
    if (token === ';') {
      statements.push(current);
      current = '';
    } else if (!token.startsWith('--')) {
      current += token.startsWith('/*') ? ' ' : token;
    }
  }
  statements.push(current);
  return statements.map((statement) => statement.trim()).filter((statement) => statement !== '');
}
