import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { splitStatements } from './migrate.ts';

describe('splitStatements', () => {
  it.each<[string, string, string[]]>([
    ['nothing', '', []],
    ['only space, comments and semicolons', ' ;\n;-- one; two\n;/* three; */', []],
    ['the last one without a semicolon', 'SELECT 1; SELECT 2', ['SELECT 1', 'SELECT 2']],
    ['line comments', 'SELECT 1 -- a; b\n, 2; -- the end', ['SELECT 1 \n, 2']],
    ['a comment with quotes in it', "SELECT 1 -- it's; \"so\"\n; SELECT 2", ['SELECT 1', 'SELECT 2']],
    ['block comments over lines', 'SELECT /* a;\n\'b; */ 1; SELECT 2', ['SELECT   1', 'SELECT 2']],
    ['semicolons in strings', "SELECT ';', 'a;b'; SELECT 2", ["SELECT ';', 'a;b'", 'SELECT 2']],
    ['quotes in strings', "SELECT 'it''s; \\'so\\';', '\\\\'; SELECT 2", ["SELECT 'it''s; \\'so\\';', '\\\\'", 'SELECT 2']],
    ['comments in strings', "SELECT '-- no; /* no */'; SELECT 2", ["SELECT '-- no; /* no */'", 'SELECT 2']],
    ['quoted names', 'SELECT `a;b`, "c;d", `--`; SELECT 2', ['SELECT `a;b`, "c;d", `--`', 'SELECT 2']],
    ['a quote inside quotes of another kind', `SELECT "it's", '"', '\`'; SELECT 2`, [`SELECT "it's", '"', '\`'`, 'SELECT 2']],
    ['minus and division', 'SELECT 3-1, 4/2, -1; SELECT 2', ['SELECT 3-1, 4/2, -1', 'SELECT 2']],
    ['a quote that is never closed', "SELECT 'a; b", ["SELECT 'a", 'b']],
  ])('%s', (_, text, statements) => {
    expect(splitStatements(text)).toEqual(statements);
  });

  it('keeps words apart that only a comment separated', () => {
    expect(splitStatements('SELECT/* one */1')).toEqual(['SELECT 1']);
  });

  it('takes a string over lines, with an escaped line break', () => {
    expect(splitStatements("SELECT 'a\n;\\\n;b'; SELECT 2")).toEqual(["SELECT 'a\n;\\\n;b'", 'SELECT 2']);
  });
});

describe('ddl/', () => {
  const folder = new URL('../ddl/', import.meta.url);

  it('is numbered from 0001 without holes', async () => {
    const names = (await readdir(folder)).toSorted();
    expect(names.map((name) => name.slice(0, 5))).toEqual(names.map((_, i) => `${String(i + 1).padStart(4, '0')}_`));
  });

  it('holds only statements that may be repeated', async () => {
    for (const name of await readdir(folder)) {
      for (const statement of splitStatements(await readFile(new URL(name, folder), 'utf8'))) expect(statement, name).toMatch(/IF (NOT )?EXISTS|MATERIALIZE/);
    }
  });
});
