/** `agent-audit verify` as a process, on what a real service recorded. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Store, type StoreOptions } from '@agent-audit/queries';
import type { LogList } from '@agent-audit/schemas';
import { createLog, readConfig } from '@agent-audit/shared';
import { startStandalone, type Standalone } from '@agent-audit/standalone';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { until } from '../../../test/support/until.ts';

const BIN = new URL('../bin/agent-audit.js', import.meta.url).pathname;
const KEY = 'cli-verify-admin-key-0123456789-0123456789';
const EVENTS = 600;

let dir: string;
let data: string;
let service: Standalone | undefined;
let url: string;
let logKey: string;
let publicKey: string;

const start = async (): Promise<void> => {
  const config = readConfig({ AGENT_AUDIT_DATA_DIR: data, AGENT_AUDIT_PORT: '0', AGENT_AUDIT_ADMIN_KEY: KEY, AGENT_AUDIT_LOG_LEVEL: 'silent', AGENT_AUDIT_COLLECTOR_ID: 'c1' });
  service = await startStandalone(config, createLog('silent', 'cli-verify-e2e'));
  ({ url } = service);
};
const ask = async (path: string): Promise<string> => (await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${KEY}` } })).text();
const event = (i: number): string => `{"event_id":"e-${i}","time":"2026-11-20T10:00:00.${String(i).padStart(3, '0')}Z","kind":"tool_call","agent":{"id":"agent:${i % 3}"},"tool":{"name":"t","arguments":{"big":9223372036854775808, "i":${i}}},"action":"read","outcome":{"status":"success"}}`;

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}
function cli(...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], { env: { PATH: process.env['PATH'], AGENT_AUDIT_URL: url, AGENT_AUDIT_KEY: KEY } }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
    });
  });
}

async function alter(statement: string): Promise<void> {
  const store = new Store(JSON.parse(await readFile(join(data, 'engine.json'), 'utf8')) as StoreOptions);
  await store.command(`ALTER TABLE events ${statement} SETTINGS mutations_sync = 2`);
  await store.close();
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'agent-audit-cli-verify-'));
  data = join(dir, 'data');
  await start();
  await writeFile(join(dir, 'events.ndjson'), Array.from({ length: EVENTS }, (_, i) => `${event(i)}\n`).join(''));
  expect((await cli('send', join(dir, 'events.ndjson'))).code).toBe(0);
  const { logs } = await until(async () => JSON.parse(await ask('/v1/logs')) as LogList, (list) => list.logs[0]?.size === EVENTS, 20_000);
  logKey = logs[0]?.keys[0]?.verifier_key as string;
  publicKey = logs[0]?.keys[0]?.public_key as string;
});
afterAll(async () => {
  await service?.stop();
  await rm(dir, { recursive: true, force: true });
});

it('an event, by its proof and the key alone', async () => {
  const [answer, proof, keys] = [join(dir, 'event.json'), join(dir, 'event.tlog-proof'), join(dir, 'log.vkey')];
  await writeFile(answer, await ask('/v1/events/e-277'));
  await writeFile(proof, await ask('/v1/events/e-277/proof'));
  await writeFile(keys, `# the collector\n${logKey}\n`);
  const good = await cli('verify', 'event', answer, '--proof', proof, '--log-key', keys);
  expect(good).toMatchObject({ code: 0, out: expect.stringContaining('Verified: nothing is wrong') as string });
  await writeFile(join(dir, 'raw.json'), event(277));
  expect((await cli('verify', 'event', join(dir, 'raw.json'), '--proof', proof, '--log-key', publicKey)).code).toBe(0);

  await writeFile(join(dir, 'forged.json'), event(277).replace('success', 'failure'));
  const forged = await cli('verify', 'event', join(dir, 'forged.json'), '--proof', proof, '--log-key', logKey, '--json');
  expect(forged.code).toBe(7);
  expect(JSON.parse(forged.out)).toMatchObject({ verified: false, findings: [{ finding: 'not_in_log', log_id: 'default/c1', log_index: 277, event_id: 'e-277' }] });
  expect((await cli('verify', 'event', join(dir, 'nothing'), '--proof', proof, '--log-key', logKey)).code).toBe(8);
  expect((await cli('verify', 'event', answer, '--proof', proof)).code).toBe(2);
  expect((await cli('verify', 'event', answer, '--proof', proof, '--log-key', 'nonsense')).code).toBe(2);
  expect((await cli('verify', 'event', answer, '--proof', proof, '--log-key', logKey, '--witnesses', '1')).code).toBe(2);
});

it('a log in its folder and on the server, with what was saved before', async () => {
  const [folder, saved] = [join(data, 'logs', 'default@c1'), join(dir, 'saved.checkpoint')];
  const first = await cli('verify', 'log', folder, '--log-key', logKey, '--save', saved);
  expect(first).toMatchObject({ code: 0, out: expect.stringMatching(new RegExp(`entries ${EVENTS}`)) as string });
  expect(await readFile(saved, 'utf8')).toBe(await ask('/v1/logs/default/c1/checkpoint'));
  expect(await cli('verify', 'log', `${url}/v1/logs/default/c1`, '--log-key', logKey, '--from', saved)).toMatchObject({ code: 0 });
  expect((await cli('verify', 'log', `${url}/v1/logs/default/other`, '--log-key', logKey)).code).not.toBe(0);
  expect((await cli('verify', 'log', join(dir, 'nowhere'), '--log-key', logKey)).code).toBe(8);
  await writeFile(saved, (await readFile(saved, 'utf8')).replace(`\n${EVENTS}\n`, '\n599\n'));
  expect(await cli('verify', 'log', folder, '--log-key', logKey, '--from', saved)).toMatchObject({ code: 7, out: expect.stringMatching(/^not_signed /) as string });
});

it('a bundle, written by the server\'s word and checked without it', async () => {
  const folder = join(dir, 'bundle');
  // In an event that came by itself, line breaks are part of what was recorded.
  const indented = JSON.stringify({ ...(JSON.parse(event(700)) as object), event_id: 'indented' }, null, 2);
  expect((await fetch(`${url}/v1/events`, { method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', prefer: 'wait=10' }, body: indented })).status).toBe(202);
  const window = ['--from', '2026-11-20T00:00:00Z', '--to', '2026-11-21T00:00:00Z'];
  expect(await cli('bundle', ...window, '--agent', 'agent:1', '--out', folder)).toMatchObject({ code: 0, out: expect.stringContaining('201 events, 201 of them with proof') as string });
  const good = await cli('verify', 'bundle', folder, '--log-key', logKey, '--json');
  expect(JSON.parse(good.out)).toMatchObject({ verified: true, checked: [{ events: 201, proven: 201, logs: 1 }] });
  expect((await cli('bundle', ...window, '--out', folder)).code).toBe(8);
  const events = join(folder, 'events.ndjson');
  await writeFile(events, (await readFile(events, 'utf8')).replace('"i":1}', '"i":2}'));
  const bad = await cli('verify', 'bundle', folder, '--log-key', logKey);
  expect(bad).toMatchObject({ code: 7, out: expect.stringMatching(/^file_altered +events\.ndjson is not[^]*not_in_log +default\/c1 #1 e-1: /) as string });
});

it('a record of which something was erased, after the key was rotated', async () => {
  const post = (path: string, body: unknown): Promise<Response> => fetch(`${url}${path}`, { method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }, body: JSON.stringify(body) });
  expect((await post('/v1/logs/rotate-key', {})).status).toBe(200);
  expect(await (await post('/v1/erasures', { event_ids: ['e-9', 'e-500'], reason: 'asked for' })).json()).toMatchObject({ erased: 2 });
  const { logs } = JSON.parse(await ask('/v1/logs')) as LogList;
  // Who knows the first key only, and who knows the second only.
  for (const { public_key: key } of logs[0]?.keys ?? []) {
    const { code, out } = await cli('verify', 'log', '--data-dir', data, '--against-store', '--log-key', key, '--json');
    expect(JSON.parse(out)).toMatchObject({ verified: true, checked: [{ erased: 2 }] });
    expect(code).toBe(0);
  }
});

it('the record, while the service runs and after it has stopped', async () => {
  const good = await cli('verify', 'log', '--data-dir', data, '--against-store', '--log-key', logKey);
  expect(good).toMatchObject({ code: 0, out: expect.stringMatching(new RegExp(`rows ${EVENTS - 1}, .*erased 2.*\n[^]*Verified`)) as string });
  await alter("UPDATE raw = replaceOne(raw, 'success', 'failure') WHERE event_id = 'e-5'");
  await alter("DELETE WHERE event_id = 'e-6'");
  const expected = [{ finding: 'edited', log_id: 'default/c1', log_index: 5, event_id: 'e-5' }, { finding: 'removed', log_index: 6 }];
  const live = await cli('verify', 'log', '--data-dir', data, '--against-store', '--log-key', publicKey, '--json');
  expect(live.code).toBe(7);
  expect(JSON.parse(live.out)).toMatchObject({ verified: false, findings_total: 2, findings: expected });
  await service?.stop();
  service = undefined;
  const resting = await cli('verify', 'log', join(data, 'logs', 'default@c1'), '--against-store', '--log-key', logKey);
  expect(resting.code).toBe(7);
  expect(resting.out).toMatch(/^edited +default\/c1 #5 e-5: raw; these columns are not of its bytes: outcome_status\nremoved +default\/c1 #6: /);
  expect((await readdir(data)).includes('clickhouse')).toBe(true);
  await start();
});
