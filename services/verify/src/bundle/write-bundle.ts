import { createHash } from 'node:crypto';
import { mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { memberRange, onOneLine } from '@agent-audit/schemas';
import { CHECKPOINT, folderName, parseCheckpoint, parseNote, TILE_WIDTH, tilePath } from '@agent-audit/tlog';
import { z } from 'zod';
import { CannotVerify } from '../finding.ts';
import { tilesFor } from '../log/authentic-tiles.ts';
import type { TileSource } from '../log/tile-source.ts';
import { EVENTS, FORMAT, KEYS, MANIFEST, type Manifest } from './manifest.ts';

export interface BundleOptions {
  /** Is made; must not hold anything. */
  readonly folder: string;
  readonly query: Manifest['query'];
  readonly createdAt: string;
  /** The answer, page by page: the bytes of each `{event, recorded}`. */
  readonly pages: AsyncIterable<{ readonly items: readonly Buffer[]; readonly completeness: unknown }>;
  /** A log, and the keys that it is said to be signed with; undefined where the server has not got it. */
  readonly logOf: (logId: string) => Promise<{ readonly source: TileSource; readonly keys: readonly string[] } | undefined>;
  readonly onEvents?: (count: number) => void;
}

const Recorded = z.object({ log_id: z.string(), log_index: z.int().min(0), salt: z.string().optional() });

/** What is listed of one log. */
interface Listed {
  events: number;
  salted: number;
  last: number;
  readonly leafTiles: Set<number>;
}

const CHECKPOINT_TRIES = 30;
const CHECKPOINT_EVERY_MS = 1000;

/**
 * Writes what a query answers, with all that proves it: `events.ndjson`, of each log a checkpoint and the tiles that lead from
 * the events up to it, and last `manifest.json`.
 *
 * @throws CannotVerify
 */
export async function writeBundle({ folder, query, createdAt, pages, logOf, onEvents = () => {} }: BundleOptions): Promise<Manifest> {
  await mkdir(folder, { recursive: true });
  if ((await readdir(folder)).length > 0) throw new CannotVerify(`${folder} is not empty; name a new folder`);
  const files: Record<string, Manifest['files'][string]> = {};
  const put = async (path: string, content: Uint8Array | string): Promise<void> => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content, { flag: 'wx' });
    files[path] = { bytes: Buffer.byteLength(content), sha256: createHash('sha256').update(content).digest('hex') };
  };
  const { logs: listed, file, completeness } = await writeEvents(join(folder, EVENTS), pages, onEvents);
  files[EVENTS] = file;
  const logs: Manifest['logs'] = [];
  const unproven: Manifest['unproven'] = [];
  for (const [logId, { events, salted, last, leafTiles }] of listed) {
    const log = salted === events ? await logOf(logId) : undefined;
    if (log === undefined) {
      unproven.push({ log_id: logId, events, reason: 'the server has not got the log' });
      continue;
    }
    const { note, size } = await checkpointBehind(log.source, last, logId);
    const path = `logs/${folderName(...(logId.split('/') as [string, string]))}`;
    await put(`${path}/${CHECKPOINT}`, note);
    await put(`${path}/${KEYS}`, log.keys.map((key) => `${key}\n`).join(''));
    for (const tile of tilesFor(leafTiles, size)) await put(`${path}/${tilePath(tile)}`, await log.source.read(tile));
    logs.push({ log_id: logId, folder: path, size, checkpoint: note });
  }
  const events = [...listed.values()].reduce((sum, one) => sum + one.events, 0);
  const proven = events - unproven.reduce((sum, one) => sum + one.events, 0);
  const manifest: Manifest = { format: FORMAT, created_at: createdAt, query, counts: { events, proven }, completeness, logs, unproven, files };
  await writeFile(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, { flag: 'wx' });
  return manifest;
}

async function writeEvents(path: string, pages: BundleOptions['pages'], onEvents: (count: number) => void) {
  const logs = new Map<string, Listed>();
  const hash = createHash('sha256');
  let bytes = 0;
  let completeness: unknown;
  const file = await open(path, 'wx');
  try {
    for await (const page of pages) {
      const lines = Buffer.concat(page.items.map((item) => lineOf(item, logs)));
      await file.write(lines);
      hash.update(lines);
      bytes += lines.length;
      ({ completeness } = page);
      onEvents(page.items.length);
    }
  } finally {
    await file.close();
  }
  return { logs, completeness, file: { bytes, sha256: hash.digest('hex') } };
}

/** The event's bytes as they are; where they have line breaks, on one line, and as they are beside it. */
function lineOf(item: Buffer, logs: Map<string, Listed>): Buffer {
  const [event, recorded] = ['event', 'recorded'].map((name) => {
    const range = memberRange(item, { start: 0, end: item.length }, name);
    if (range === undefined) throw new CannotVerify(`the server answered with something that has no ${name}`);
    return item.subarray(range.start, range.end);
  }) as [Buffer, Buffer];
  const { log_id: logId, log_index: index, salt } = Recorded.parse(JSON.parse(recorded.toString()));
  const log = logs.get(logId) ?? { events: 0, salted: 0, last: 0, leafTiles: new Set<number>() };
  logs.set(logId, log);
  log.events++;
  if (salt !== undefined) log.salted++;
  log.last = Math.max(log.last, index);
  log.leafTiles.add(Math.floor(index / TILE_WIDTH));
  const oneLine = onOneLine(event);
  const tenant = `"tenant":${JSON.stringify(logId.split('/')[0])},`;
  const raw = oneLine.equals(event) ? '' : `,"raw_base64":"${event.toString('base64')}"`;
  return Buffer.concat([Buffer.from('{"event":'), oneLine, Buffer.from(`,"recorded":{${tenant}`), onOneLine(recorded).subarray(1), Buffer.from(`${raw}}\n`)]);
}

/** A checkpoint that covers a place: the newest events wait a moment for theirs. */
async function checkpointBehind(source: TileSource, last: number, logId: string): Promise<{ note: string; size: number }> {
  for (let attempt = 0; attempt < CHECKPOINT_TRIES; attempt++) {
    const note = await source.checkpoint();
    const { size } = parseCheckpoint(parseNote(note).text);
    if (size > last) return { note, size };
    await sleep(CHECKPOINT_EVERY_MS);
  }
  throw new CannotVerify(`no checkpoint of ${logId} covers its newest events yet; try again later, or end the window earlier`);
}
