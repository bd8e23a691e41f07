import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CHECKPOINT, generateSigner, leafHash, LogWriter, parseSigner, readTile, rawPublic, signCheckpoint, tilePath, tilesSince, parsePrivateKey } from '@agent-audit/tlog';
import { createPublicKey } from 'node:crypto';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTrust } from '../keys.ts';
import { folderSource } from './tile-source.ts';
import { verifyLog, type LogCheckOptions } from './verify-log.ts';

const origin = 'agent-audit/acme/c1';
const secretKey = generateSigner(origin);
const signer = parseSigner(secretKey);
const trust = readTrust([signer.verifierKey]);
const leaves = (from: number, to: number, what = ''): Buffer => Buffer.concat(Array.from({ length: to - from }, (_, i) => leafHash(Buffer.from(`${what}${from + i}`))));

let root: string;
let made = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'agent-audit-verify-'));
});
afterAll(() => rmSync(root, { recursive: true }));

/** A log that grew in steps. @returns its folder, and the checkpoint of each step */
function logOf(steps: readonly Buffer[]): { folder: string; notes: string[] } {
  const folder = join(root, String(made++));
  const writer = new LogWriter(folder);
  const notes = steps.map((step) => {
    writer.append(step);
    const note = signCheckpoint({ origin, ...writer.sync() }, [signer]);
    writeFileSync(join(folder, CHECKPOINT), note);
    return note;
  });
  return { folder, notes };
}

/** The same log as files in the C2SP tlog-tiles layout. */
function asTiles(folder: string, size: number): string {
  const tree = join(root, String(made++));
  for (const tile of tilesSince(0, size)) {
    mkdirSync(dirname(join(tree, tilePath(tile))), { recursive: true });
    writeFileSync(join(tree, tilePath(tile)), readTile(folder, tile));
  }
  mkdirSync(tree, { recursive: true });
  cpSync(join(folder, CHECKPOINT), join(tree, CHECKPOINT));
  return tree;
}

const check = async (folder: string, options: Partial<LogCheckOptions> = {}) => (await verifyLog(await folderSource(folder), { trust, ...options })).report;
const codes = async (folder: string, options: Partial<LogCheckOptions> = {}): Promise<string[]> => (await check(folder, options)).findings.map(({ finding }) => finding);

describe('a log that only grew', () => {
  it('has no findings, as a collector keeps it and as tiles', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 200, max: 800 })), { minLength: 1, maxLength: 4 }), fc.nat(), async (counts, pick) => {
      let size = 0;
      const { folder, notes } = logOf(counts.map((count) => leaves(size, (size += count))));
      const from = notes[pick % notes.length] as string;
      expect(await check(folder, { from })).toMatchObject({ findings: [], findings_total: 0, checked: { log_id: 'acme/c1', entries: size } });
      expect(await codes(asTiles(folder, size), { from })).toEqual([]);
    }), { numRuns: 20 });
  });

  it('is read at three levels of tiles', async () => {
    const { folder, notes } = logOf([leaves(0, 65_700), leaves(65_700, 66_000)]);
    expect(await codes(folder, { from: notes[0] as string })).toEqual([]);
    const file = join(folder, 'level-2');
    writeFileSync(file, readFileSync(file).map((byte, i) => (i === 3 ? byte ^ 1 : byte)));
    expect(await check(folder)).toMatchObject({ findings: [{ finding: 'log_altered', log_id: 'acme/c1', log_index: 0, detail: expect.stringContaining('tile/2/000.p/1: hash 0') as string }] });
  }, 30_000);

  it('is known by the public key alone', async () => {
    const { folder } = logOf([leaves(0, 3)]);
    const publicKey = rawPublic(createPublicKey(parsePrivateKey(secretKey).key)).toString('base64');
    expect(await codes(folder, { trust: readTrust([`# the collector\n${publicKey}\n`]) })).toEqual([]);
  });
});

describe('a log that was changed', () => {
  const flip = (folder: string, level: number, at: number): void => {
    const file = join(folder, `level-${level}`);
    const bytes = readFileSync(file);
    bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(file, bytes);
  };

  it('a leaf: the tile above and the root do not fit', async () => {
    const { folder } = logOf([leaves(0, 700)]);
    flip(folder, 0, 300 * 32);
    expect((await check(folder)).findings).toMatchObject([{ finding: 'log_altered', detail: expect.stringContaining('root') as string }, { finding: 'log_altered', log_index: 256 }]);
    expect(await codes(asTiles(folder, 700))).toEqual(['log_altered', 'log_altered']);
  });

  it('a leaf under no full tile: the root does not fit', async () => {
    const { folder } = logOf([leaves(0, 700)]);
    flip(folder, 0, 699 * 32);
    expect(await codes(folder)).toEqual(['log_altered']);
  });

  it('a hash above: it is not that of the leaves', async () => {
    const { folder } = logOf([leaves(0, 700)]);
    flip(folder, 1, 32);
    expect((await check(folder)).findings).toMatchObject([{ finding: 'log_altered', log_index: 256 }]);
  });

  it('is shorter than its checkpoint says', async () => {
    const { folder } = logOf([leaves(0, 700)]);
    truncateSync(join(folder, 'level-0'), 699 * 32);
    expect((await check(folder)).findings).toMatchObject([{ finding: 'log_altered', log_index: 699 }]);
    const tiles = asTiles(logOf([leaves(0, 700)]).folder, 700);
    rmSync(join(tiles, 'tile/1'), { recursive: true });
    expect((await check(tiles)).findings).toMatchObject([{ finding: 'log_altered', detail: expect.stringContaining('missing') as string }]);
  });

  it('was rewritten by who has the key', async () => {
    const before = logOf([leaves(0, 300)]);
    const after = logOf([leaves(0, 299), leaves(299, 400, 'other ')]);
    expect(await codes(after.folder)).toEqual([]);
    expect(await codes(after.folder, { from: before.notes[0] as string })).toEqual(['log_rewritten']);
  });

  it('was cut by who has the key', async () => {
    const { folder, notes } = logOf([leaves(0, 300)]);
    writeFileSync(join(folder, CHECKPOINT), logOf([leaves(0, 200)]).notes[0] as string);
    expect(await codes(folder, { from: notes[0] as string })).toEqual(['log_shrunk']);
  });
});

describe('a checkpoint', () => {
  it.for([
    ['of another key', (note: string) => note, [parseSigner(generateSigner(origin)).verifierKey]],
    ['with another size', (note: string) => note.replace('\n300\n', '\n299\n'), undefined],
    ['that is none', () => 'hello\n', undefined],
  ] as const)('%s is not signed', async ([, harm, keys]) => {
    const { folder, notes } = logOf([leaves(0, 300)]);
    writeFileSync(join(folder, CHECKPOINT), harm(notes[0] as string));
    expect(await codes(folder, keys === undefined ? {} : { trust: readTrust(keys) })).toEqual(['not_signed']);
  });

  it('of another log is not taken for this one', async () => {
    const { folder } = logOf([leaves(0, 3)]);
    expect(await codes(folder, { logId: 'other/c1' })).toEqual(['not_signed']);
  });

  it('that is not there cannot be verified', async () => {
    await expect(check(join(root, 'nowhere'))).rejects.toThrow('cannot be read');
  });
});
