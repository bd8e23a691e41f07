import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHECKPOINT, eventLeaf, generateSigner, LogWriter, parseSigner, Salts, saltedDigest, signCheckpoint } from '@agent-audit/tlog';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toolCall } from '../../../test/support/events.ts';
import { Random } from '../../../test/support/random.ts';
import { insertRows, RECEIVED_AT, startTestStore, type TestRow, type TestStore } from '../../../test/support/store.ts';
import type { Finding } from './finding.ts';
import { readTrust, type SignedCheckpoint } from './keys.ts';
import { folderSource } from './log/tile-source.ts';
import { verifyLog } from './log/verify-log.ts';
import { verifyStore } from './store/verify-store.ts';

/*
 * Ten thousand ways to tamper, at random places, directly in ClickHouse and in the files of a log: each is found and named by its place, and
 * nothing else is.
 */

const SIZE = 24_000;
const OF_EACH = 900;
const [TENANT, COLLECTOR] = ['acme', 'c1'];
const ORIGIN = `test/${TENANT}/${COLLECTOR}`;
const SECRET = Buffer.alloc(32, 3);
const signer = parseSigner(generateSigner(ORIGIN));
const trust = readTrust([signer.verifierKey]);

let test: TestStore;
let base: string;
let folder: string;
beforeAll(async () => {
  test = await startTestStore();
  base = mkdtempSync(join(tmpdir(), 'agent-audit-tampering-'));
  folder = join(base, `${TENANT}@${COLLECTOR}`);
  writeFileSync(join(base, 'salt-secret'), SECRET);
}, 60_000);
afterAll(async () => {
  await test[Symbol.asyncDispose]();
  rmSync(base, { recursive: true });
});

const raws: string[] = [];
/** Requests of ten events each, a millisecond apart. */
const receivedAt = (index: number): number => RECEIVED_AT + 1000 * Math.floor(index / 10);

function rowAt(index: number): TestRow {
  return { event: raws[index] as string, tenant: TENANT, collectorId: COLLECTOR, logIndex: index, receivedAtMicros: receivedAt(index) };
}

function leafAt(index: number, raw = raws[index] as string): Buffer {
  const salt = new Salts(SECRET, ORIGIN).from(index);
  return Buffer.from(eventLeaf({ tenant: TENANT, eventId: (JSON.parse(raw) as { event_id: string }).event_id, receivedAtMicros: receivedAt(index), digest: saltedDigest(salt, Buffer.from(raw)) }));
}

function sign(writer: LogWriter, to: string): string {
  const note = signCheckpoint({ origin: ORIGIN, ...writer.sync() }, [signer]);
  writeFileSync(join(to, CHECKPOINT), note);
  return note;
}

async function verified(): Promise<readonly Finding[]> {
  const { checkpoint, report } = await verifyLog(await folderSource(folder), { trust });
  expect(report.findings).toEqual([]);
  return (await verifyStore({ store: test.options, folder, checkpoint: checkpoint as SignedCheckpoint, threads: 2 })).findings;
}

const ROWS = 'tenant = {tenant: String} AND log_index IN (SELECT toUInt64(arrayJoin({places: Array(String)})))';
const MARK = "toUUID('00000000-0000-4000-8000-00000000feed')";

async function run(sql: string, places: readonly number[]): Promise<void> {
  for (let at = 0; at < places.length; at += 5000) await test.store.command(sql, { tenant: TENANT, places: places.slice(at, at + 5000).map(String) });
}

const update = (set: string) => (places: readonly number[]): Promise<void> => run(`ALTER TABLE events UPDATE ${set} WHERE ${ROWS} SETTINGS mutations_sync = 2`, places);

/** What an update may not touch: the row is written again, and the old one removed. */
const rewrite = (replace: string) => async (places: readonly number[]): Promise<void> => {
  await run(`INSERT INTO events SELECT * REPLACE (${replace}, ${MARK} AS segment_id) FROM (SELECT * FROM events WHERE ${ROWS})`, places);
  await run(`ALTER TABLE events DELETE WHERE ${ROWS} AND segment_id != ${MARK} SETTINGS mutations_sync = 2`, places);
};

interface Kind {
  readonly name: string;
  readonly tamper: (places: readonly number[]) => Promise<void>;
  readonly as: readonly Finding['finding'][];
  /** Where it is found. */
  readonly at?: (place: number) => number;
}

const KINDS: readonly Kind[] = [
  { name: 'a byte of the event', tamper: update("raw = concat(substring(raw, 1, 40), 'X', substring(raw, 42))"), as: ['edited'] },
  { name: 'the outcome, in bytes and column alike', tamper: update("raw = replaceOne(raw, '\"success\"', '\"failure\"'), outcome_status = 'failure'"), as: ['edited'] },
  { name: 'a column only', tamper: update("tool_name = 'innocent'"), as: ['edited'] },
  { name: 'another column only', tamper: update('sequence = sequence + 1, has_sequence = true'), as: ['edited'] },
  { name: 'the agent', tamper: rewrite("'agent:other' AS agent_id"), as: ['edited'] },
  { name: 'the event id', tamper: rewrite("concat(event_id, 'x') AS event_id"), as: ['edited'] },
  { name: 'the time of receipt', tamper: rewrite('received_at - toIntervalDay(1) AS received_at'), as: ['backdated', 'edited'] },
  { name: 'nothing is left', tamper: (places) => run(`ALTER TABLE events DELETE WHERE ${ROWS} SETTINGS mutations_sync = 2`, places), as: ['removed'] },
  { name: 'a second row', tamper: (places) => run(`INSERT INTO events SELECT * REPLACE (concat(event_id, '-2') AS event_id, ${MARK} AS segment_id) FROM (SELECT * FROM events WHERE ${ROWS})`, places), as: ['added'] },
  { name: 'a row behind the end', tamper: (places) => run(`INSERT INTO events SELECT * REPLACE (log_index + ${2 * SIZE} AS log_index, ${MARK} AS segment_id) FROM (SELECT * FROM events WHERE ${ROWS})`, places), as: ['added'], at: (place) => place + 2 * SIZE },
];

describe('in ClickHouse', () => {
  it('an untouched record has no findings; of thousands of changes each is named, and nothing else', async () => {
    const random = new Random(11);
    for (let i = 0; i < SIZE; i++) raws.push(JSON.stringify(toolCall({ event_id: `e-${i}`, source: { emitter: 'gateway', sequence: i } })));
    const writer = new LogWriter(folder);
    writer.append(Buffer.concat(raws.map((_, index) => leafAt(index))));
    sign(writer, folder);
    for (let from = 0; from < SIZE; from += 8000) await insertRows(test.store, Array.from({ length: 8000 }, (_, i) => rowAt(from + i)));
    expect(await verified()).toEqual([]);

    // Pairs of neighbours, so that two that are swapped are one change.
    const pairs = random.shuffled(Array.from({ length: SIZE / 2 }, (_, i) => i));
    const expected = new Map<number, readonly string[]>();
    for (const { tamper, as, at = (place: number) => place } of KINDS) {
      const places = pairs.splice(0, OF_EACH).map((pair) => 2 * pair + random.int(2));
      await tamper(places);
      for (const place of places) expected.set(at(place), as);
    }
    const swapped = pairs.splice(0, OF_EACH / 2).flatMap((pair) => [2 * pair, 2 * pair + 1]);
    await update('log_index = bitXor(log_index, 1)')(swapped);
    for (const place of swapped) expected.set(place, ['reordered']);

    const findings = await verified();
    const found = Map.groupBy(findings, ({ log_index: index }) => index);
    expect(findings.filter(({ log_index: index }) => !expected.has(index as number))).toEqual([]);
    const wrong = [...expected].filter(([place, as]) => {
      const here = found.get(place) ?? [];
      return here.length !== 1 || !as.includes(here[0]?.finding as string);
    });
    expect(wrong.slice(0, 5).map(([place, as]) => ({ place, as, found: found.get(place) }))).toEqual([]);
    expect(expected.size).toBe((KINDS.length + 1) * OF_EACH);
  }, 240_000);

  it('a record that was set back to an older state lacks what came later', async () => {
    await test.store.command('TRUNCATE TABLE events');
    for (let from = 0; from < 16_000; from += 8000) await insertRows(test.store, Array.from({ length: 8000 }, (_, i) => rowAt(from + i)));
    const findings = await verified();
    expect(new Set(findings.map(({ finding }) => finding))).toEqual(new Set(['removed']));
    expect(findings.map(({ log_index: index }) => index)).toEqual(Array.from({ length: SIZE - 16_000 }, (_, i) => 16_000 + i));
  }, 120_000);
});

describe('in the files of the log', () => {
  it('every change is found', async () => {
    const random = new Random(12);
    const size = 1500;
    const small = join(base, 'small', `${TENANT}@${COLLECTOR}`);
    const writer = new LogWriter(small);
    writer.append(Buffer.concat(Array.from({ length: 1000 }, (_, index) => leafAt(index))));
    const older = sign(writer, small);
    const olderFiles = join(base, 'older');
    cpSync(small, olderFiles, { recursive: true });
    writer.append(Buffer.concat(Array.from({ length: size - 1000 }, (_, index) => leafAt(1000 + index))));
    const newest = sign(writer, small);
    const check = async (of: string, from: string): Promise<string[]> => (await verifyLog(await folderSource(of), { trust, from })).report.findings.map(({ finding }) => finding);
    expect(await check(small, older)).toEqual([]);

    const levels = ['level-0', 'level-1'].map((name) => ({ path: join(small, name), bytes: readFileSync(join(small, name)) }));
    for (let i = 0; i < 1000; i++) {
      const { path, bytes } = levels[random.chance(0.2) ? 1 : 0] as (typeof levels)[number];
      const hashes = bytes.length / 32;
      const changed = Buffer.from(bytes);
      const kind = random.int(4);
      if (kind === 0) {
        const at = random.int(bytes.length);
        changed[at] = (changed[at] as number) ^ (1 << random.int(8));
        writeFileSync(path, changed);
      } else if (kind === 1) {
        const [a, b] = [random.int(hashes), random.int(hashes)];
        if (a === b) continue;
        bytes.copy(changed, 32 * a, 32 * b, 32 * b + 32);
        bytes.copy(changed, 32 * b, 32 * a, 32 * a + 32);
        writeFileSync(path, changed);
      } else if (kind === 2) {
        truncateSync(path, random.int(bytes.length));
      } else {
        const at = random.int(hashes);
        writeFileSync(path, Buffer.concat([bytes.subarray(0, 32 * at), bytes.subarray(32 * at + 32)]));
      }
      const findings = await check(small, older).catch((error: Error) => [error.name]);
      expect(findings.length, `${kind} ${path} ${i}`).toBeGreaterThan(0);
      writeFileSync(path, bytes);
    }
    expect(await check(small, older)).toEqual([]);

    // Set back to an older state, in whole: it is right in itself, and whoever kept a checkpoint sees it.
    expect(await check(olderFiles, older)).toEqual([]);
    expect(await check(olderFiles, newest)).toEqual(['log_shrunk']);
    for (let i = 0; i < 100; i++) {
      // Another history, signed with the right key, and with another.
      const forged = join(base, 'forged');
      rmSync(forged, { recursive: true, force: true });
      mkdirSync(forged, { recursive: true });
      const other = new LogWriter(forged);
      const place = random.int(1000);
      other.append(Buffer.concat(Array.from({ length: size }, (_, index) => (index === place ? leafAt(index, raws[index + 1]) : leafAt(index)))));
      sign(other, forged);
      expect(await check(forged, older)).toEqual(['log_rewritten']);
      const thief = parseSigner(generateSigner(ORIGIN));
      writeFileSync(join(forged, CHECKPOINT), signCheckpoint({ origin: ORIGIN, ...other.sync() }, [thief]));
      expect(await check(forged, older)).toEqual(['not_signed']);
      if (i >= 10) break;
    }
  }, 240_000);
});
