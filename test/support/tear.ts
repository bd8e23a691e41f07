import { appendFile, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from './random.ts';

const TAIL_BYTES_MAX = 300;

/**
 * Makes the newest file of a folder look as a power cut leaves a file that was being appended to: with a tail that is
 * not whole. Nothing is taken away, since what was acknowledged may reach to the last byte.
 *
 * @param suffix of the files that count
 * @returns the file; undefined where there is none
 * @throws Error ENOENT where there is no such folder
 */
export async function tearNewest(dir: string, suffix: string, random: Random): Promise<string | undefined> {
  const files = (await readdir(dir)).filter((name) => name.endsWith(suffix)).map((name) => join(dir, name));
  const dated = await Promise.all(files.map(async (file) => ({ file, at: (await stat(file, { bigint: true })).mtimeNs })));
  const newest = dated.toSorted((a, b) => Number(b.at - a.at))[0]?.file;
  if (newest === undefined) return undefined;
  const length = 1 + random.int(TAIL_BYTES_MAX);
  const tails = [
    // A record that was cut off: it begins as a whole one does.
    () => readFile(newest).then((bytes) => bytes.subarray(0, Math.min(length, bytes.length - 1))),
    // A file that grew before its bytes were written.
    () => Buffer.alloc(length),
    () => Buffer.from(Array.from({ length }, () => random.int(256))),
  ];
  await appendFile(newest, await random.pick(tails)());
  return newest;
}
