import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join, normalize, sep } from 'node:path';
import { createInterface } from 'node:readline';
import { memberRange, onOneLine, parseTime, scanEvent } from '@agent-audit/schemas';
import { eventLeaf, saltedDigest } from '@agent-audit/tlog';
import { z } from 'zod';
import { CannotVerify, Findings, type Report } from '../finding.ts';
import { trustedCheckpoint, type Trust } from '../keys.ts';
import { AuthenticTiles } from '../log/authentic-tiles.ts';
import { folderSource, unreadable } from '../log/tile-source.ts';
import { EVENTS, MANIFEST, Manifest } from './manifest.ts';

/** What a line says beside the event's bytes. */
const Recorded = z.object({ tenant: z.string(), received_at: z.string(), log_id: z.string(), log_index: z.int().min(0), salt: z.base64().optional() });
const NESTING_MAX = 4096;

/** A log of the bundle whose checkpoint is signed. */
interface BundledLog {
  readonly tiles: AuthenticTiles;
  readonly size: number;
  readonly seen: Uint8Array;
}

/**
 * That a bundle is whole, and that each of its events is in a log that was signed. Needs nothing but the folder and the keys.
 *
 * @throws CannotVerify
 */
export async function verifyBundle(folder: string, trust: Trust, onEvents: (count: number, total: number) => void = () => {}): Promise<Report> {
  const findings = new Findings();
  const manifest = await readManifest(folder);
  const bytes = await checkFiles(folder, manifest, findings);
  const logs = new Map<string, BundledLog>();
  for (const { log_id: logId, folder: path } of manifest.logs) {
    const source = await folderSource(inside(folder, path));
    const checkpoint = trustedCheckpoint(await source.checkpoint(), trust, findings, logId);
    if (checkpoint !== undefined) logs.set(logId, { tiles: new AuthenticTiles(source, checkpoint.size, checkpoint.root), size: checkpoint.size, seen: new Uint8Array(Math.ceil(checkpoint.size / 8)) });
  }
  let events = 0;
  let proven = 0;
  for await (const line of linesOf(join(folder, EVENTS))) {
    events++;
    if (await checkLine(line, events, logs, findings)) proven++;
    onEvents(1, manifest.counts.events);
  }
  if (events !== manifest.counts.events) findings.add({ finding: 'file_altered', detail: `${EVENTS} has ${events} events, and the manifest says ${manifest.counts.events}` });
  return findings.report({ events, proven, logs: logs.size, files: Object.keys(manifest.files).length, bytes }, [
    'whether events that the query asks for were left out: the query and the statement of completeness are the word of the server, which nobody signed',
    ...manifest.unproven.map(({ log_id: log, events: count, reason }) => `${count} events of ${log}: ${reason}`),
  ]);
}

async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, MANIFEST);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw unreadable('the bundle', error);
  });
  try {
    return Manifest.parse(JSON.parse(text));
  } catch (error) {
    throw new CannotVerify(`${path} is not the manifest of a bundle`, { cause: error });
  }
}

/** A path of the manifest that leads out of the bundle is none. */
function inside(folder: string, path: string): string {
  const full = normalize(join(folder, path));
  if (!full.startsWith(normalize(folder + sep))) throw new CannotVerify(`the manifest names ${path}, which is not in the bundle`);
  return full;
}

async function checkFiles(folder: string, { files }: Manifest, findings: Findings): Promise<number> {
  let total = 0;
  for (const [path, { bytes, sha256 }] of Object.entries(files)) {
    const full = inside(folder, path);
    const size = await stat(full).then((found) => found.size, () => undefined);
    if (size === undefined) findings.add({ finding: 'file_altered', detail: `${path} is missing` });
    else if (size !== bytes || (await sha256Of(full)) !== sha256) findings.add({ finding: 'file_altered', detail: `${path} is not what the manifest says` });
    total += size ?? 0;
  }
  for (const needed of [EVENTS]) if (files[needed] === undefined) findings.add({ finding: 'file_altered', detail: `the manifest does not name ${needed}` });
  return total;
}

/** SHA-256 of a file, in hexadecimal. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function* linesOf(path: string): AsyncGenerator<Buffer> {
  try {
    // One byte a letter: bytes stay as they are.
    for await (const line of createInterface({ input: createReadStream(path, 'latin1'), crlfDelay: Infinity })) if (line !== '') yield Buffer.from(line, 'latin1');
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** @returns whether the event is proven */
async function checkLine(line: Buffer, number: number, logs: ReadonlyMap<string, BundledLog>, findings: Findings): Promise<boolean> {
  const read = readLine(line);
  if (read === undefined) {
    findings.add({ finding: 'unproven', detail: `line ${number} of ${EVENTS} is not an event with what proves it` });
    return false;
  }
  const { raw, eventId, recorded: { tenant, received_at: receivedAt, log_id: logId, log_index: index, salt } } = read;
  const where = { log_id: logId, log_index: index, event_id: eventId };
  const log = logs.get(logId);
  const time = parseTime(receivedAt);
  if (log === undefined || index >= log.size || salt === undefined || !time.ok) {
    findings.add({ finding: 'unproven', ...where, detail: log === undefined ? 'no signed checkpoint of its log is in the bundle' : 'what proves it is missing, or its place is behind the end of the log' });
    return false;
  }
  const bit = 1 << (index % 8);
  const at = Math.floor(index / 8);
  if (((log.seen[at] as number) & bit) !== 0) findings.add({ finding: 'duplicate', ...where, detail: `line ${number} lists it again` });
  log.seen[at] = (log.seen[at] as number) | bit;
  const leaf = await log.tiles.leaf(index);
  const receivedAtMicros = time.seconds * 1_000_000 + Math.floor(time.nanos / 1000);
  const isIn = leaf !== undefined && logId.startsWith(`${tenant}/`) && Buffer.compare(leaf, eventLeaf({ tenant, eventId, receivedAtMicros, digest: saltedDigest(Buffer.from(salt, 'base64'), raw) })) === 0;
  if (!isIn) findings.add({ finding: 'not_in_log', ...where, detail: leaf === undefined ? 'hashes of the log are missing, or not those that were signed' : 'its bytes, or what is said beside them, are not what the log holds at this place' });
  return isIn;
}

/** The event's bytes as they were recorded, and what is said beside them. */
function readLine(line: Buffer): { readonly raw: Buffer; readonly eventId: string; readonly recorded: z.infer<typeof Recorded> } | undefined {
  // Of two members with one name, another reader might take the other.
  if (!scanEvent(line, 0, line.length, NESTING_MAX).ok) return undefined;
  const part = (name: string): Buffer | undefined => {
    const range = memberRange(line, { start: 0, end: line.length }, name);
    return range === undefined ? undefined : line.subarray(range.start, range.end);
  };
  const [event, recorded, base64] = [part('event'), part('recorded'), part('raw_base64')];
  if (event === undefined || recorded === undefined) return undefined;
  const raw = base64 === undefined ? event : Buffer.from(String(JSON.parse(base64.toString())), 'base64');
  const parsed = Recorded.safeParse(JSON.parse(recorded.toString()));
  const { event_id: eventId } = JSON.parse(event.toString()) as { event_id?: unknown };
  // Who reads the line sees what is proven.
  return !parsed.success || typeof eventId !== 'string' || Buffer.byteLength(eventId) > 255 || !onOneLine(raw).equals(event) ? undefined : { raw, eventId, recorded: parsed.data };
}
