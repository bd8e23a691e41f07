import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHECKPOINT, eventLeaf, generateSigner, LogWriter, parseSigner, saltedDigest, signCheckpoint } from '@agent-audit/tlog';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CannotVerify, type FindingCode } from '../finding.ts';
import { readTrust } from '../keys.ts';
import { folderSource } from '../log/tile-source.ts';
import { EVENTS, MANIFEST, type Manifest } from './manifest.ts';
import { verifyBundle } from './verify-bundle.ts';
import { writeBundle } from './write-bundle.ts';

const SIZE = 70_000;
const origin = 'agent-audit/acme/c1';
const signer = parseSigner(generateSigner(origin));
const trust = readTrust([signer.verifierKey]);
const salt = (i: number): Buffer => createHash('sha256').update(`salt ${i}`).digest().subarray(0, 16);
const rawOf = (i: number): string => `{"event_id":"e-${i}",${i % 10 === 9 ? '\r\n  ' : ''}"n":9223372036854775808}`;
const item = (i: number): Buffer => Buffer.from(`{"event":${rawOf(i)},"recorded":{"received_at":"2026-03-01T12:00:00.00000${i % 10}Z","collector_id":"c1","log_id":"acme/c1","log_index":${i},"salt":"${salt(i).toString('base64')}","flags":[]}}`);
const COMPLETENESS = { status: 'unknown' };

let root: string;
let log: string;
let made = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'agent-audit-bundle-'));
  log = join(root, 'log');
  const writer = new LogWriter(log);
  const leafOf = (i: number): Uint8Array => eventLeaf({ tenant: 'acme', eventId: `e-${i}`, receivedAtMicros: 1_772_366_400_000_000 + (i % 10), digest: saltedDigest(salt(i), Buffer.from(rawOf(i))) });
  writer.append(Buffer.concat(Array.from({ length: SIZE }, (_, i) => leafOf(i))));
  writeFileSync(join(log, CHECKPOINT), signCheckpoint({ origin, ...writer.sync() }, [signer]));
}, 30_000);
afterAll(() => rmSync(root, { recursive: true }));

async function bundleOf(places: readonly number[], items: (place: number) => Buffer = item): Promise<string> {
  const folder = join(root, `bundle-${made++}`);
  async function* pages() {
    for (let at = 0; at < Math.max(1, places.length); at += 7) yield { items: places.slice(at, at + 7).map(items), completeness: COMPLETENESS };
  }
  await writeBundle({
    folder, createdAt: '2026-03-02T00:00:00Z', query: { server: 'http://x', path: '/v1/events', params: [['from', '-1d']] }, pages: pages(),
    logOf: async (logId) => (logId === 'acme/c1' ? { source: await folderSource(log), keys: [signer.verifierKey] } : undefined),
  });
  return folder;
}

const manifestOf = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, MANIFEST), 'utf8')) as Manifest;
const codes = async (folder: string): Promise<FindingCode[]> => (await verifyBundle(folder, trust)).findings.map(({ finding }) => finding);

/** Changes a file as who can also change the manifest, which nobody has signed. */
function forge(folder: string, path: string, change: (content: Buffer) => Buffer | string, alsoManifest: (manifest: Manifest) => void = () => {}): void {
  const content = Buffer.from(change(readFileSync(join(folder, path))));
  writeFileSync(join(folder, path), content);
  const manifest = manifestOf(folder);
  manifest.files[path] = { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
  alsoManifest(manifest);
  writeFileSync(join(folder, MANIFEST), JSON.stringify(manifest));
}
const flip = (at: number) => (content: Buffer): Buffer => Buffer.from(content.map((byte, i) => (i === at ? byte ^ 1 : byte)));

describe('a bundle as it was written', () => {
  it('has no findings, whichever events are in it', async () => {
    const place = fc.oneof(fc.nat(SIZE - 1), fc.integer({ min: SIZE - 200, max: SIZE - 1 }), fc.constantFrom(0, 255, 256, 65_535, 65_536));
    await fc.assert(fc.asyncProperty(fc.uniqueArray(place, { maxLength: 20 }), async (places) => {
      const folder = await bundleOf(places);
      expect(await verifyBundle(folder, trust)).toMatchObject({ findings: [], checked: { events: places.length, proven: places.length } });
      expect(manifestOf(folder)).toMatchObject({ counts: { events: places.length, proven: places.length }, completeness: COMPLETENESS });
    }), { numRuns: 30 });
  });

  it('has only the tiles that its events need', async () => {
    const folder = await bundleOf([3, 300]);
    expect(Object.keys(manifestOf(folder).files).toSorted()).toEqual([
      EVENTS, ...[CHECKPOINT, 'keys', 'tile/0/000', 'tile/0/001', 'tile/0/273.p/112', 'tile/1/000', 'tile/1/001.p/17', 'tile/2/000.p/1'].map((name) => `logs/acme@c1/${name}`),
    ]);
  });

  it('says which events come without proof', async () => {
    const folder = await bundleOf([1, 2], (i) => (i === 1 ? item(i) : Buffer.from(item(i).toString().replace('acme/c1', 'acme/other'))));
    expect(manifestOf(folder)).toMatchObject({ counts: { events: 2, proven: 1 }, unproven: [{ log_id: 'acme/other', events: 1 }] });
    expect(await codes(folder)).toEqual(['unproven']);
  });
});

describe('a bundle that was changed', () => {
  it('a file: the manifest says otherwise', async () => {
    const folder = await bundleOf([1, 2]);
    rmSync(join(folder, 'logs/acme@c1/keys'));
    expect(await codes(folder)).toEqual(['file_altered']);
    writeFileSync(join(folder, EVENTS), `${readFileSync(join(folder, EVENTS), 'utf8')}\n`);
    expect(await codes(folder)).toEqual(['file_altered', 'file_altered']);
  });

  it.for<[string, (text: string) => string, FindingCode[]]>([
    ['an event', (text) => text.replace('5808', '5807'), ['not_in_log']],
    ['an id', (text) => text.replace('"e-1"', '"e-2"'), ['not_in_log']],
    ['a time of receipt', (text) => text.replace('00.000001Z', '00.000000Z'), ['not_in_log']],
    ['a place', (text) => text.replace('"log_index":1,', '"log_index":3,'), ['not_in_log']],
    ['a place behind the end', (text) => text.replace('"log_index":1,', '"log_index":70000,'), ['unproven']],
    ['a tenant', (text) => text.replace('"tenant":"acme"', '"tenant":"other"'), ['not_in_log']],
    ['a salt is gone', (text) => text.replace(/"salt":"[^"]*",/, ''), ['unproven']],
    ['a line twice', (text) => text + (text.split('\n')[0] as string), ['duplicate', 'file_altered']],
    ['a line is gone', (text) => `${text.split('\n')[0]}\n`, ['file_altered']],
    ['two events in a line', (text) => text.replace('{"event":', '{"event":{},"event":'), ['unproven']],
    ['what is shown beside the bytes', (text) => text.replace(/("event":\{"event_id":"e-9",.*?)5808/, '$15807'), ['unproven']],
  ])('%s, and the manifest with it', async ([, change, expected]) => {
    const folder = await bundleOf([1, 9]);
    forge(folder, EVENTS, (content) => change(content.toString()));
    expect((await codes(folder)).toSorted()).toEqual(expected);
  });

  it.for([['leaves', 'tile/0/001', 32 * 44], ['hashes above', 'tile/1/000', 32], ['the last tile', 'tile/0/273.p/112', 0]] as const)('%s, and the manifest with them', async ([, tile, at]) => {
    const folder = await bundleOf([300]);
    forge(folder, `logs/acme@c1/${tile}`, flip(at));
    expect(await codes(folder)).toEqual(['not_in_log']);
  });

  it('a log of somebody else', async () => {
    const folder = await bundleOf([1]);
    const other = parseSigner(generateSigner(origin));
    forge(folder, `logs/acme@c1/${CHECKPOINT}`, () => signCheckpoint({ origin, size: SIZE, root: Buffer.alloc(32) }, [other]));
    expect((await codes(folder)).toSorted()).toEqual(['not_signed', 'unproven']);
  });

  it('a manifest that leads out of the folder, or is none', async () => {
    const folder = await bundleOf([1]);
    forge(folder, EVENTS, (content) => content, (manifest) => void (manifest.files['../secret'] = { bytes: 0, sha256: '' }));
    await expect(codes(folder)).rejects.toThrow(CannotVerify);
    writeFileSync(join(folder, MANIFEST), '{}');
    await expect(codes(folder)).rejects.toThrow(CannotVerify);
  });
});

it('a folder that holds something is not written to', async () => {
  const folder = join(root, 'full');
  mkdirSync(folder);
  writeFileSync(join(folder, 'x'), '');
  await expect(writeBundle({ folder, createdAt: '', query: { server: '', path: '', params: [] }, pages: (async function* () {})(), logOf: async () => undefined })).rejects.toThrow(CannotVerify);
});
