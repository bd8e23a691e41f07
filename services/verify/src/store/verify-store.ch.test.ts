import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AuditEvent } from '@agent-audit/schemas';
import { CHECKPOINT, erasureText, eventLeaf, folderName, generateSigner, LogWriter, MISSING_LEAF, originOf, parseSigner, Salts, saltedDigest, signCheckpoint, signNote, type Hash } from '@agent-audit/tlog';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataAccess, toolCall } from '../../../../test/support/events.ts';
import { insertRows, RECEIVED_AT, startTestStore, type TestRow, type TestStore } from '../../../../test/support/store.ts';
import type { Finding, Report } from '../finding.ts';
import { readTrust, type Trust } from '../keys.ts';
import { folderSource } from '../log/tile-source.ts';
import { verifyLog } from '../log/verify-log.ts';
import type { TombstoneOf } from './name-suspects.ts';
import { verifyStore } from './verify-store.ts';

const secret = Buffer.alloc(32, 7);
let test: TestStore;
let logs: string;
beforeAll(async () => {
  test = await startTestStore();
  logs = mkdtempSync(join(tmpdir(), 'agent-audit-verify-store-'));
  writeFileSync(join(logs, 'salt-secret'), secret);
});
afterAll(async () => {
  rmSync(logs, { recursive: true });
  await test[Symbol.asyncDispose]();
});

let tenants = 0;
const SIZE = 40;

interface Recorded {
  readonly tenant: string;
  readonly events: readonly AuditEvent[];
  readonly rows: readonly TestRow[];
  readonly trust: ReturnType<typeof readTrust>;
  readonly folder: string;
  /** Runs SQL on the events of the tenant. */
  sql(statement: string): Promise<void>;
  /** Stores the rows of some places anew, with other columns. */
  rewrite(where: string, columns: string): Promise<void>;
  check(more?: { tombstoneOf?: TombstoneOf; trust?: Trust }): Promise<Report>;
  findings(): Promise<readonly Finding[]>;
}

const numbered = (size: number): AuditEvent[] => Array.from({ length: size }, (_, i) => (i % 3 === 0 ? dataAccess : toolCall)({ attributes: { i } }));

/** A tenant whose log covers the first events, and whose record holds them all. */
async function recorded(events: readonly AuditEvent[], { covered = events.length, missing = [] as readonly number[] } = {}): Promise<Recorded> {
  const tenant = `tenant-${tenants++}`;
  const origin = originOf('test', tenant, 'c1');
  const folder = join(logs, folderName(tenant, 'c1'));
  const salts = new Salts(secret, origin);
  // Three at a time are received together, a second apart.
  const rows = events.map((event, i) => ({ event, tenant, logIndex: i, receivedAtMicros: RECEIVED_AT + Math.floor(i / 3) * 1_000_000 + 7 }));
  const leafOf = ({ event, receivedAtMicros }: (typeof rows)[number], i: number): Hash =>
    missing.includes(i) ? MISSING_LEAF : eventLeaf({ tenant, eventId: event.event_id, receivedAtMicros, digest: saltedDigest(salts.from(i), Buffer.from(JSON.stringify(event))) });
  mkdirSync(folder, { recursive: true });
  const signer = parseSigner(generateSigner(origin));
  const writer = new LogWriter(folder);
  writer.append(Buffer.concat(rows.slice(0, covered).map(leafOf)));
  writeFileSync(join(folder, CHECKPOINT), signCheckpoint({ origin, ...writer.sync() }, [signer]));
  await insertRows(test.store, rows.filter((_, i) => !missing.includes(i)));
  const trust = readTrust([signer.verifierKey]);
  const sql = (statement: string): Promise<void> => test.store.command(`${statement} SETTINGS mutations_sync = 2, insert_deduplicate = 0`, { tenant });
  const check = async (more = {}): Promise<Report> => {
    const { checkpoint, report } = await verifyLog(await folderSource(folder), { trust });
    expect(report.findings).toEqual([]);
    if (checkpoint === undefined) throw new Error('not signed');
    return verifyStore({ store: test.options, folder, checkpoint, threads: 2, ...more });
  };
  return {
    tenant, events, rows, trust, folder, sql, check,
    rewrite: async (where, columns) => {
      await test.store.command(`INSERT INTO events SELECT * REPLACE (generateUUIDv4() AS segment_id, 'moved' AS collector_id, ${columns}) FROM (SELECT * FROM events WHERE tenant = {tenant: String} AND (${where}))`, { tenant });
      await sql(`ALTER TABLE events DELETE WHERE tenant = {tenant: String} AND collector_id = 'c1' AND (${where})`);
      await sql("ALTER TABLE events UPDATE collector_id = 'c1' WHERE tenant = {tenant: String} AND collector_id = 'moved'");
    },
    findings: async () => (await check()).findings,
  };
}

/** Finding, place and id. */
const short = (findings: readonly Finding[]): (string | number | undefined)[][] => findings.map(({ finding, log_index: index, event_id: id }) => [finding, index, ...(id === undefined ? [] : [id])]);

describe('an untouched record', () => {
  it('has no findings', async () => {
    const { check, tenant } = await recorded(numbered(SIZE));
    expect(await check()).toMatchObject({ findings: [], findings_total: 0, checked: { log_id: `${tenant}/c1`, entries: SIZE, rows: SIZE, pending: 0, erased: 0, missing: 0 } });
  });

  it('may have events that are newer than the checkpoint, and such as were gone before they were logged', async () => {
    const { check } = await recorded(numbered(SIZE), { covered: SIZE - 5, missing: [3, 17] });
    const report = await check();
    expect(report).toMatchObject({ findings: [], checked: { entries: SIZE - 5, rows: SIZE - 7, pending: 5, missing: 2 } });
    expect(report.not_checked.join('\n')).toMatch(/5 events that are newer[^]*3, 17/);
  });

  it('may have conflicts, and be in any order on the disk', async () => {
    const events = numbered(SIZE).map((event, i) => ({ ...event, event_id: i === 9 ? 'same' : i === 8 ? 'same' : event.event_id, agent: { id: `agent:${i % 7}` } }));
    const { check, sql } = await recorded(events);
    await sql('ALTER TABLE events UPDATE flags = bitOr(flags, 4) WHERE tenant = {tenant: String} AND log_index = 9');
    expect((await check()).findings).toEqual([]);
  });
});

describe('an edited event is named', () => {
  it('raw', async () => {
    const { sql, findings, events } = await recorded(numbered(SIZE));
    await sql("ALTER TABLE events UPDATE raw = replaceOne(raw, 'success', 'failure') WHERE tenant = {tenant: String} AND log_index = 5");
    expect(await findings()).toMatchObject([{ finding: 'edited', log_index: 5, event_id: events[5]?.event_id, detail: expect.stringContaining('these columns are not of its bytes: outcome_status') as string }]);
  });

  it('raw, so that it is no event any more', async () => {
    const { sql, findings } = await recorded(numbered(SIZE));
    await sql("ALTER TABLE events UPDATE raw = '{}' WHERE tenant = {tenant: String} AND log_index = 0");
    expect(await findings()).toMatchObject([{ finding: 'edited', log_index: 0, detail: expect.stringContaining('no event') as string }]);
  });

  it('raw and columns together', async () => {
    const { sql, findings } = await recorded(numbered(SIZE));
    await sql("ALTER TABLE events UPDATE raw = replaceOne(raw, 'success', 'failure'), outcome_status = 'failure' WHERE tenant = {tenant: String} AND log_index = 5");
    expect(await findings()).toMatchObject([{ finding: 'edited', log_index: 5, detail: 'raw, together with the columns, or received_at' }]);
  });

  it('event_id', async () => {
    const { rewrite, findings, events } = await recorded(numbered(SIZE));
    await rewrite('log_index = 7', "'forged' AS event_id");
    expect(await findings()).toMatchObject([{ finding: 'edited', log_index: 7, event_id: 'forged', detail: `event_id was ${events[7]?.event_id}` }]);
  });

  it('each column by itself', async () => {
    const updates = [
      ['outcome_status', "'failure'"], ['agent_name', "'x'"], ['resource_uris', "['x']"], ['resource_bytes', '[1]'], ['classifications', "['x', 'y']"], ['duration_ms', '0'],
      ['has_sequence', 'true'], ['tool_name', "'x'"], ['decision_effect', "'deny'"], ['flags', '1'], ['sequence', '18446744073709551615'], ['outcome_message', "repeat('x', 100000)"], ['destination_port', '1'],
    ] as const;
    const { sql, findings, events } = await recorded(numbered(SIZE));
    await sql(`ALTER TABLE events UPDATE ${updates.map(([name, value], i) => `${name} = if(log_index = ${20 + i}, ${value}, ${name})`).join(', ')} WHERE tenant = {tenant: String}`);
    expect((await findings()).map(({ log_index: index, event_id: id, detail }) => [index, id, detail])).toEqual(updates.map(([name], i) => [20 + i, events[20 + i]?.event_id, `columns that are not those of its bytes: ${name}`]));
  });

  it('columns that rows are sorted by', async () => {
    const { rewrite, findings } = await recorded(numbered(SIZE));
    await rewrite('log_index = 11', "'agent:other' AS agent_id, time + INTERVAL 1 SECOND AS time");
    expect(await findings()).toMatchObject([{ finding: 'edited', log_index: 11, detail: 'columns that are not those of its bytes: time, agent_id' }]);
  });
});

describe('removed, added', () => {
  it('removed rows are leaves without one, the first and the last too', async () => {
    const { sql, findings } = await recorded(numbered(SIZE));
    await sql('ALTER TABLE events DELETE WHERE tenant = {tenant: String} AND log_index IN (0, 20, 39)');
    expect(short(await findings())).toEqual([['removed', 0], ['removed', 20], ['removed', 39]]);
  });

  it('all of them', async () => {
    const { sql, check } = await recorded(numbered(SIZE));
    await sql('ALTER TABLE events DELETE WHERE tenant = {tenant: String}');
    expect(await check()).toMatchObject({ findings_total: SIZE, checked: { rows: 0 } });
  });

  it('a second row on one place: a copy, and another event', async () => {
    const { findings, events, rows } = await recorded(numbered(SIZE));
    const forged = toolCall();
    await insertRows(test.store, [rows[4] as TestRow, { ...(rows[9] as TestRow), event: forged }]);
    expect(short(await findings())).toEqual([['added', 4, events[4]?.event_id], ['added', 9, forged.event_id]]);
  });

  it('a row where nothing was when the log came there', async () => {
    const { findings, rows } = await recorded(numbered(SIZE), { missing: [6] });
    const forged = toolCall();
    await insertRows(test.store, [{ ...(rows[6] as TestRow), event: forged }]);
    expect(short(await findings())).toEqual([['added', 6, forged.event_id]]);
  });

  it('a row far behind the end, or twice on a place that is not covered yet', async () => {
    const { findings, tenant, rows } = await recorded(numbered(SIZE), { covered: SIZE - 1 });
    const [a, b] = [toolCall(), toolCall()];
    await insertRows(test.store, [{ event: a, tenant, logIndex: 1000 }, { ...(rows[SIZE - 1] as TestRow), event: b }]);
    const found = short(await findings());
    expect(found).toContainEqual(['added', 1000, a.event_id]);
    expect(found).toContainEqual(['added', SIZE - 1, b.event_id]);
  });
});

describe('reordered', () => {
  it('two that changed places', async () => {
    const { rewrite, findings, events } = await recorded(numbered(SIZE));
    await rewrite('log_index IN (3, 30)', 'if(log_index = 3, 30, 3)::UInt64 AS log_index');
    expect(await findings()).toMatchObject([
      { finding: 'reordered', log_index: 3, event_id: events[30]?.event_id, detail: 'it is what the log has at 30' },
      { finding: 'reordered', log_index: 30, event_id: events[3]?.event_id, detail: 'it is what the log has at 3' },
    ]);
  });

  it('one removed, and all behind it moved up to hide it', async () => {
    const { sql, rewrite, findings, events } = await recorded(numbered(SIZE));
    await sql('ALTER TABLE events DELETE WHERE tenant = {tenant: String} AND log_index = 10');
    await rewrite('log_index > 10', '(log_index - 1)::UInt64 AS log_index');
    expect(short(await findings())).toEqual([['reordered', 10, events[11]?.event_id], ['removed', 10], ...events.slice(12).map(({ event_id: id }, i) => ['reordered', 11 + i, id])].toSorted((a, b) => (a[1] as number) - (b[1] as number)));
  });

  it('one that was moved behind the end', async () => {
    const { rewrite, findings, events } = await recorded(numbered(SIZE));
    await rewrite('log_index = 12', '99::UInt64 AS log_index');
    expect(short(await findings())).toEqual([['reordered', 99, events[12]?.event_id]]);
  });
});

describe('backdated', () => {
  it('is known by the events that were received with it', async () => {
    const { rewrite, findings, events } = await recorded(numbered(SIZE));
    await rewrite('log_index = 13', 'received_at - INTERVAL 40 DAY AS received_at');
    expect(await findings()).toMatchObject([{ finding: 'backdated', log_index: 13, event_id: events[13]?.event_id, detail: expect.stringMatching(/^received_at was 2026-03-01T12:00:04\.000007Z/) as string }]);
  });

  it('is known by its order, where it was received alone', async () => {
    const events = numbered(SIZE);
    const { rewrite, findings } = await recorded(events);
    await rewrite('log_index >= 11 AND log_index <= 16', 'received_at + toIntervalMillisecond(log_index) AS received_at');
    await rewrite('log_index = 13', "toDateTime64('2025-01-01 00:00:00', 6, 'UTC') AS received_at");
    const found = await findings();
    expect(found.find(({ log_index: index }) => index === 13)).toMatchObject({ finding: 'backdated', detail: expect.stringContaining('those of the events beside it are from') as string });
  });
});

it('an erased event is not removed', async () => {
  const { sql, check, rows, events, tenant } = await recorded(numbered(SIZE));
  await sql('ALTER TABLE events DELETE WHERE tenant = {tenant: String} AND log_index IN (8, 9)');
  const salts = new Salts(secret, originOf('test', tenant, 'c1'));
  const tombstoneOf: TombstoneOf = async (_, index) => ({
    eventId: events[index]?.event_id as string, receivedAtMicros: rows[index]?.receivedAtMicros as number,
    // The second one is forged.
    digest: saltedDigest(salts.from(index), Buffer.from(index === 8 ? JSON.stringify(events[index]) : 'x')),
  });
  const report = await check({ tombstoneOf });
  expect(short(report.findings)).toEqual([['removed', 9]]);
  expect(report.checked).toMatchObject({ erased: 1 });
});

it('an erasure that nobody has signed is none', async () => {
  const { sql, check, rows, events, tenant, trust } = await recorded(numbered(SIZE));
  await sql('ALTER TABLE events DELETE WHERE tenant = {tenant: String} AND log_index = 8');
  const digest = saltedDigest(new Salts(secret, originOf('test', tenant, 'c1')).from(8), Buffer.from(JSON.stringify(events[8])));
  const note = signNote(erasureText({ origin: originOf('test', tenant, 'c1'), ranges: [[8, 8]], by: 'key:x', at: '2026-03-02T00:00:00Z', reason: 'r' }), [parseSigner(generateSigner(originOf('test', tenant, 'c1')))]);
  const id = randomUUID();
  await test.store.command('INSERT INTO erasures SELECT {tenant: String}, {c: String}, {id: UUID}, now64(6), {note: String}', { tenant, c: 'c1', id, note });
  await test.store.command(
    'INSERT INTO event_tombstones (tenant, collector_id, log_index, event_id, received_at, digest, erasure_id) SELECT {tenant: String}, {c: String}, 8, {event: String}, fromUnixTimestamp64Micro({micros: Int64}), unhex({digest: String}), {id: UUID}',
    { tenant, c: 'c1', event: events[8]?.event_id as string, micros: rows[8]?.receivedAtMicros as number, digest: digest.toString('hex'), id },
  );
  expect(short((await check({ trust })).findings)).toEqual([['removed', 8]]);
});

it('works across slices and threads', async () => {
  const { rewrite, sql, check, events } = await recorded(numbered(70_000));
  expect(await check()).toMatchObject({ findings: [], checked: { rows: 70_000 } });
  await rewrite('log_index IN (100, 69000)', 'if(log_index = 100, 69000, 100)::UInt64 AS log_index');
  await sql("ALTER TABLE events UPDATE protocol = 'x' WHERE tenant = {tenant: String} AND log_index IN (35071, 35072)");
  const found = short((await check()).findings);
  expect(found).toEqual([['reordered', 100, events[69_000]?.event_id], ['edited', 35_071, events[35_071]?.event_id], ['edited', 35_072, events[35_072]?.event_id], ['reordered', 69_000, events[100]?.event_id]]);
}, 60_000);
