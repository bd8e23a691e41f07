import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Random } from './random.ts';
import { tearNewest } from './tear.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'agent-audit-tear-'));
});
afterEach(() => rm(dir, { recursive: true }));

test('tears the newest file only, and takes nothing away from it', async () => {
  const random = new Random(1);
  for (const [name, seconds] of [['1.segment', 10], ['2.segment', 30], ['3.segment', 20], ['4.other', 40]] as const) {
    await writeFile(join(dir, name), `bytes of ${name}`);
    await utimes(join(dir, name), seconds, seconds);
  }
  for (let i = 0; i < 20; i++) {
    const before = await readFile(join(dir, '2.segment'));
    expect(await tearNewest(dir, '.segment', random)).toBe(join(dir, '2.segment'));
    const after = await readFile(join(dir, '2.segment'));
    expect(after.length).toBeGreaterThan(before.length);
    expect(after.subarray(0, before.length)).toEqual(before);
  }
  expect((await stat(join(dir, '1.segment'))).size).toBe('bytes of 1.segment'.length);
});

test('where there is none, none is torn', async () => {
  expect(await tearNewest(dir, '.segment', new Random(1))).toBeUndefined();
  await expect(tearNewest(join(dir, 'none'), '.segment', new Random(1))).rejects.toThrow('ENOENT');
});
