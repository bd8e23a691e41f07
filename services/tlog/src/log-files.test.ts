import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { signCheckpoint } from './checkpoint.ts';
import { CHECKPOINT, LogBroken, LogWriter, nodesIn, readCheckpoint, readTile } from './log-files.ts';
import { inclusionProof, leafHash, nodeHash, rootOf, verifyInclusion, type Hash } from './merkle.ts';
import { generateSigner, parseSigner } from './note.ts';

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'agent-audit-log-')), 'log');
});
afterEach(() => {
  rmSync(join(folder, '..'), { recursive: true });
});

const origin = 'agent-audit/acme/c1';
const signer = parseSigner(generateSigner(origin));
const leaf = (i: number): Hash => leafHash(Buffer.from(String(i)));
const leaves = (from: number, to: number): Buffer => Buffer.concat(Array.from({ length: to - from }, (_, i) => leaf(from + i)));

const cache = new Map<number, Hash>();
function rootAt(size: number): Hash {
  let root = cache.get(size);
  if (root === undefined) cache.set(size, (root = rootOf((level, place) => subtree(place * 2 ** level, 2 ** level), size)));
  return root;
}
/** The root of a complete subtree, computed from nothing. */
function subtree(from: number, size: number): Hash {
  return size === 1 ? leaf(from) : nodeHash(subtree(from, size / 2), subtree(from + size / 2, size / 2));
}

function checkpoint(writer: LogWriter): void {
  writeFileSync(join(folder, CHECKPOINT), signCheckpoint({ origin, ...writer.sync() }, [signer]));
}

it('has the root of its leaves, whatever they came in, and after being opened again', () => {
  fc.assert(fc.property(fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 200, max: 700 })), { minLength: 1, maxLength: 6 }), fc.boolean(), (counts, reopen) => {
    rmSync(folder, { recursive: true, force: true });
    let writer = new LogWriter(folder);
    for (const count of counts) {
      const from = writer.size;
      writer.append(leaves(from, from + count));
      expect(writer.size).toBe(from + count);
      if (!reopen) continue;
      checkpoint(writer);
      writer = new LogWriter(folder);
    }
    const { size, root } = writer.sync();
    expect(Buffer.from(root).equals(rootAt(size))).toBe(true);
    expect(Buffer.from(rootOf(nodesIn(folder, size), size)).equals(root)).toBe(true);
  }), { numRuns: 40 });
});

it('keeps 32.13 bytes for an entry, and tiles of tiles above 65,536', () => {
  const writer = new LogWriter(folder);
  const size = 66_000;
  writer.append(leaves(0, size));
  const { root } = writer.sync();
  const proof = inclusionProof(nodesIn(folder, size), 65_700, size);
  expect(verifyInclusion(leaf(65_700), 65_700, size, proof, root)).toBe(true);
  const bytes = [0, 1, 2].reduce((sum, level) => sum + statSync(join(folder, `level-${level}`)).size, 0);
  expect(bytes / size).toBeLessThan(32.13);
  expect(readTile(folder, { level: 2, index: 0, width: 1 })).toEqual(Buffer.from(subtree(0, 65_536)));
}, 30_000);

it('cuts off what its checkpoint does not cover', () => {
  const writer = new LogWriter(folder);
  writer.append(leaves(0, 300));
  checkpoint(writer);
  writer.append(leaves(300, 900));
  appendFileSync(join(folder, 'level-0'), 'torn');
  const again = new LogWriter(folder);
  expect(again.size).toBe(300);
  again.append(leaves(300, 301));
  expect(Buffer.from(again.sync().root).equals(rootAt(301))).toBe(true);
});

it.for([
  ['a hash is another', (): void => {
    const file = join(folder, 'level-0');
    const bytes = readFileSync(file);
    bytes[299 * 32] = (bytes[299 * 32] as number) ^ 1;
    writeFileSync(file, bytes);
  }],
  ['a level is short', (): void => truncateSync(join(folder, 'level-0'), 299 * 32)],
  ['a level is gone', (): void => rmSync(join(folder, 'level-1'))],
  ['the checkpoint is of another size', (): void => {
    const { note } = readCheckpoint(folder) as { note: string };
    writeFileSync(join(folder, CHECKPOINT), note.replace('\n300\n', '\n299\n'));
  }],
  ['the checkpoint is none', (): void => writeFileSync(join(folder, CHECKPOINT), 'hello\n')],
] as const)('is broken, and left as it is, where %s', ([, harm]) => {
  const writer = new LogWriter(folder);
  writer.append(leaves(0, 300));
  checkpoint(writer);
  harm();
  const before = readFileSync(join(folder, 'level-0'));
  expect(() => new LogWriter(folder)).toThrow(LogBroken);
  expect(readFileSync(join(folder, 'level-0'))).toEqual(before);
});
