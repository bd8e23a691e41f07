/** The command itself, as a process, against the real service. */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createLog, readConfig } from '@agent-audit/shared';
import { startStandalone, type Standalone } from '@agent-audit/standalone';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const BIN = new URL('../bin/agent-audit.js', import.meta.url).pathname;
const FIXTURES = new URL('../../../schemas/fixtures/', import.meta.url).pathname;
const KEY = 'cli-e2e-admin-key-0123456789-0123456789';

let dir: string;
let service: Standalone;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'agent-audit-cli-e2e-'));
  const config = readConfig({ AGENT_AUDIT_DATA_DIR: join(dir, 'data'), AGENT_AUDIT_PORT: '0', AGENT_AUDIT_ADMIN_KEY: KEY, AGENT_AUDIT_LOG_LEVEL: 'silent' });
  service = await startStandalone(config, createLog('silent', 'cli-e2e'));
  await writeFile(join(dir, 'events.ndjson'), events.map((event) => `${event}\n`).join(''));
  const sent = await cli('send', join(dir, 'events.ndjson'));
  expect(sent).toMatchObject({ code: 0, out: '4 accepted, 0 duplicates, 0 rejected\n' });
});

afterAll(async () => {
  await service?.stop();
  await rm(dir, { recursive: true, force: true });
});

const event = (sequence: number, more: string): string =>
  `{"event_id":"e-${sequence}","time":"2026-11-20T10:00:0${sequence}.5+02:00","kind":"tool_call","agent":{"id":"agent:a/b"},"action":"read","source":{"emitter":"gw-1","sequence":${sequence}},${more}}`;
const ODD = '"tool":{"name":"odd","arguments":{"big":9223372036854775808,"huge":1e400,"zero":-0,"e":"\\u00e9"}},"outcome":{"status":"success"}';
const events = [
  event(1, '"tool":{"name":"plain"},"outcome":{"status":"success"}'),
  event(2, ODD),
  event(5, '"tool":{"name":"evil\\u2028\\u202e"},"outcome":{"status":"denied","message":"\\u001b[2J\\u001b]0;owned\\u0007"}'),
  event(6, '"tool":{"name":"plain"},"outcome":{"status":"failure"}').replace('agent:a/b', 'agent:c').replace('gw-1', 'gw-2').replace('"sequence":6', '"sequence":1'),
];
const WINDOW = ['--from', '2026-11-20T00:00:00Z', '--to', '2026-11-21T00:00:00Z'];

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function cliWith(env: Record<string, string>, stdin: string | Buffer | undefined, ...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [BIN, ...args], { env: { PATH: process.env['PATH'], AGENT_AUDIT_URL: service.url, AGENT_AUDIT_KEY: KEY, ...env } }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
    });
    child.stdin?.end(stdin ?? '');
  });
}
const cli = (...args: string[]): Promise<Result> => cliWith({}, undefined, ...args);

/** Ids of the events that a list answers with. */
const ids = async (...args: string[]): Promise<string[]> => (await cli('events', ...WINDOW, '--json', ...args)).out.match(/(?<="event_id":")[^"]+/g) ?? [];

describe.concurrent('timeline and events', () => {
  it('show a table, and what is missing', async () => {
    const { code, out, err } = await cli('timeline', 'agent:a/b', ...WINDOW);
    expect(code).toBe(0);
    expect(out.split('\n')[1]).toMatch(/^2026-11-20T08:00:01\.5(00)?Z +success +read +plain /);
    expect(out.trim().split('\n')).toHaveLength(4);
    expect(err).toMatch(/^Gaps: gw-1 missing 3–4 \(2 events\)/m);
  });

  it('let no event control the terminal', async () => {
    for (const args of [['timeline', 'agent:a/b', ...WINDOW], ['event', 'e-5']]) {
      const { out } = await cli(...args);
      expect(out).toContain('␛[2J␛]0;owned␇');
      expect(out).toContain('evil\\u{2028}\\u{202e}');
      // oxlint-disable-next-line no-control-regex -- they are what must not come out
      expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/);
    }
  });

  it('give the exact bytes to machines', async () => {
    const { out } = await cli('events', ...WINDOW, '--tool', 'odd', '--json');
    expect(out.startsWith(`{"event":${events[1]},"recorded":{`)).toBe(true);
    expect(out.trim().split('\n')).toHaveLength(1);
    expect((await cli('event', 'e-2', '--json')).out).toContain(events[1] as string);
    expect((await cli('event', 'e-2')).out).toContain('"big": 9223372036854775808,');
  });

  it('filter: repeated for or, negated with --not-', async () => {
    expect(await ids()).toEqual(['e-1', 'e-2', 'e-5', 'e-6']);
    expect(await ids('--tool', 'plain', '--tool', 'odd')).toEqual(['e-1', 'e-2', 'e-6']);
    expect(await ids('--not-tool', 'plain', '--outcome', 'denied')).toEqual(['e-5']);
    expect(await ids('--order', 'desc', '--agent-id', 'agent:a/b')).toEqual(['e-5', 'e-2', 'e-1']);
  });

  it('stop at the limit, say how to go on, and go on', async () => {
    const first = await cli('events', ...WINDOW, '--limit', '3', '--json');
    expect(first.out.trim().split('\n')).toHaveLength(3);
    const cursor = /--cursor (\S+)/.exec(first.err)?.[1] ?? '';
    const next = await cli('events', ...WINDOW, '--limit', '3', '--json', '--cursor', cursor);
    expect(next.out).toContain('"event_id":"e-6"');
    expect(next.err).not.toContain('--cursor');
  });

  it('--require-complete: 6 when it is not, 0 when it is', async () => {
    expect((await cli('timeline', 'agent:a/b', ...WINDOW, '--require-complete')).code).toBe(6);
    const complete = await cli('timeline', 'agent:c', ...WINDOW, '--require-complete');
    expect(complete).toMatchObject({ code: 0, err: expect.stringMatching(/^Complete: .*gw-2/) as string });
  });

  it('completeness: emitter by emitter, as JSON, and as an exit code', async () => {
    const { code, out } = await cli('completeness', ...WINDOW, '--agent-id', 'agent:a/b', '--agent-id', 'agent:c');
    expect(code).toBe(0);
    expect(out).toMatch(/^Gaps: gw-1 missing 3–4 \(2 events\)/);
    expect(out).toMatch(/^EMITTER +INSTANCE +STATUS/m);
    expect(out).toMatch(/^gw-1 +- +gaps +1 +5 +3–4 \(2 events\) +- +active/m);
    expect(out).toMatch(/^gw-2 +- +complete +1 +1 +- +- +active/m);
    expect(JSON.parse((await cli('completeness', ...WINDOW, '--json', '--agent-id', 'agent:c')).out)).toMatchObject({ status: 'complete', emitters: [{ emitter: 'gw-2', seen: [[1, 1]] }] });
    expect((await cli('completeness', ...WINDOW, '--require-complete')).code).toBe(6);
    expect((await cli('completeness')).code).toBe(2);
  });

  it('colour only when asked to', async () => {
    expect((await cliWith({ FORCE_COLOR: '1' }, undefined, 'timeline', 'agent:c', ...WINDOW)).out).toContain('\u001b[31mfailure\u001b[39m');
  });
});

describe('import and send', () => {
  it('import CloudTrail in every form, and again without adding anything', async () => {
    const file = join(FIXTURES, 'cloudtrail/records.ndjson');
    expect(await cli('import', 'cloudtrail', file)).toMatchObject({ code: 0, out: '5 accepted, 0 duplicates, 0 rejected\n' });
    expect(await cli('import', 'cloudtrail', file)).toMatchObject({ code: 0, out: '0 accepted, 5 duplicates, 0 rejected\n' });
    const records = '{"eventID":"ct-1","eventTime":"2026-11-20T09:00:00Z","eventName":"GetObject","eventSource":"s3.amazonaws.com"}';
    const log = join(dir, 'trail.json.gz');
    await writeFile(log, gzipSync(`{"Records":[${records},{"eventID":"ct-2"}]}`));
    const mixed = await cli('import', 'cloudtrail', log);
    expect(mixed).toMatchObject({ code: 1, out: '1 accepted, 0 duplicates, 1 rejected\n' });
    expect(mixed.err).toMatch(/^rejected: trail\.json\.gz record 2: .*eventTime/m);
    expect(await cliWith({}, gzipSync(`${records}\n`), 'import', 'cloudtrail', '-', '--json')).toMatchObject({ code: 0, out: '{"accepted":0,"duplicates":1,"rejected":0}\n' });
  });

  it('send keeps the bytes of an indented event', async () => {
    const indented = `{\n  "event_id": "indented",\n  ${event(7, ODD).slice(1).replace('"event_id":"e-7",', '').replace('gw-1', 'gw-3')}`;
    expect(await cliWith({}, indented, 'send', '-')).toMatchObject({ code: 0 });
    expect((await cli('event', 'indented', '--json')).out).toContain(indented);
    const lines = (await cli('events', ...WINDOW, '--json')).out.trim().split('\n');
    expect(lines.every((line) => line.startsWith('{"event":') && line.endsWith('}'))).toBe(true);
  });

  it('says which line was rejected', async () => {
    const { code, err } = await cliWith({}, `${event(8, ODD).replace('gw-1', 'gw-3')}\n{"event_id":"x"}\n{"broken\n`, 'send', '-');
    expect(code).toBe(1);
    expect(err).toMatch(/^rejected: stdin:2: x: /m);
    expect(err).toMatch(/^rejected: stdin:3: /m);
  });
});

describe('quarantine', () => {
  const FROM = ['--from', '-1h'];

  it('lists, replays with corrected bytes, and lists again', async () => {
    await cliWith({}, '{"event_id":"refused\\u001b[2J"}\n{"event_id":"refused-2"}\n', 'send', '-');
    const { code, out } = await cli('quarantine', ...FROM, '--code', 'required');
    expect(code).toBe(0);
    expect(out).toMatch(/^RECEIVED \(UTC\) +STATE /);
    const id = /^\S+ \S+ +quarantined +(\S+) +refused-2 +24 +http:admin +\/time .*\(and \d more errors\)$/m.exec(out)?.[1] as string;
    expect((await cli('quarantine', 'list', ...FROM, '--json')).out).toContain(`{"id":"${id}"`);

    const again = await cli('quarantine', 'replay', id);
    expect(again).toMatchObject({ code: 1, out: '0 replayed, 0 duplicates, 1 not recorded\n' });
    expect(again.err).toMatch(new RegExp(`^still rejected: ${id}: /time .time. is required`, 'm'));
    expect((await cli('quarantine', 'replay', ...FROM)).code).toBe(1);

    const fixed = event(9, ODD).replace('gw-1', 'gw-4').replace('"e-9"', '"refused-2"');
    expect(await cliWith({}, `${fixed}\n`, 'quarantine', 'replay', id, '--event', '-')).toMatchObject({ code: 0, out: '1 replayed, 0 duplicates, 0 not recorded\n' });
    expect((await cli('event', 'refused-2', '--json')).out).toContain(fixed);
    expect(await cli('quarantine', 'replay', id, '--json')).toMatchObject({ code: 0, out: '{"replayed":0,"duplicates":1,"still_rejected":[],"not_found":[],"next_cursor":null}\n' });
    expect((await cli('quarantine', ...FROM, '--state', 'replayed')).out.trim().split('\n')).toHaveLength(2);
    expect(await cli('quarantine', '--from', '-2h', '--to', '-1h')).toMatchObject({ code: 0, out: '', err: expect.stringContaining('No refused event') as string });
  });

  it.each([[['replay']], [['replay', 'x', '--from', '-1h']], [['replay', '--from', '-1h', '--event', 'f']], [['replay', 'not-an-id']], [['list', '--from', '-1h', '--state', 'gone']]])('%j is a mistake: 2', async (args) => {
    expect((await cli('quarantine', ...args)).code).toBe(2);
  });
});

describe('keys and agents', () => {
  it('make, list and revoke a key', async () => {
    const { code, out, err } = await cli('keys', 'create', '--name', 'reader', '--scope', 'events:read', '--expires', '1h', '--requests-per-second', '500');
    expect(code).toBe(0);
    const secret = out.trim();
    const id = /Key (\S+)/.exec(err)?.[1] ?? '';
    const keyFile = join(dir, 'key');
    await writeFile(keyFile, `${secret}\n`);
    expect((await cli('agents', '--key-file', keyFile)).out).toMatch(/^agent:a\/b /m);
    expect((await cli('keys', 'list', '--json')).out).toContain('"rate":{"events_per_second":null,"requests_per_second":500}');
    expect((await cli('keys', 'list', '--key-file', keyFile)).code).toBe(4);
    expect((await cli('keys', 'list')).out).toMatch(new RegExp(`^${id} +reader +events:read .*live until`, 'm'));
    expect((await cli('keys', 'revoke', id)).code).toBe(0);
    expect((await cliWith({ AGENT_AUDIT_KEY: secret }, undefined, 'agents')).code).toBe(4);
    expect(await cli('keys', 'create', '--name', 'x', '--scope', 'everything')).toMatchObject({ code: 2, err: expect.stringContaining('scopes') as string });
  });
});

describe.concurrent('exit codes', () => {
  it.each<[number, string[], Record<string, string>, RegExp]>([
    [1, ['event', 'no-such-event'], {}, /No event is recorded/],
    [2, ['timeline', 'a'], {}, /--from/],
    [2, ['events', '--from', 'yesterday'], {}, /`from`/],
    [2, ['events', '--from', '-1h', '--tol', 'x'], {}, /--tool/],
    [2, ['import', 'cloudtrail', '/no/such/file'], {}, /there is no such file/],
    [2, ['agents'], { AGENT_AUDIT_KEY: '' }, /no key/],
    [3, ['agents'], { AGENT_AUDIT_URL: 'http://127.0.0.1:9' }, /cannot reach/],
    [4, ['agents'], { AGENT_AUDIT_KEY: 'wrong' }, /not known/],
  ])('%i: %j', async (code, args, env, text) => {
    const result = await cliWith(env, undefined, ...args);
    expect(result.code).toBe(code);
    expect(result.out === '' || args[0] === 'import').toBe(true);
    expect(result.err).toMatch(text);
    expect(result.err).not.toMatch(/^ +at /m);
  });

  it('help: 0, with the codes in it', async () => {
    const { code, out } = await cli('--help');
    expect(code).toBe(0);
    expect(out).toContain('--require-complete was given');
    expect(out).toContain('130');
  });

  it('a reader that goes away is no failure', async () => {
    const child = spawn('bash', ['-c', `"$0" "$1" events --from 2000-01-01T00:00:00Z --json | head -c 1 >/dev/null; echo \${PIPESTATUS[0]}`, process.execPath, BIN], {
      env: { PATH: process.env['PATH'], AGENT_AUDIT_URL: service.url, AGENT_AUDIT_KEY: KEY },
    });
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('0\n');
  });

  it('Ctrl-C: 130', async () => {
    const child = spawn(process.execPath, [BIN, 'send', '-'], { env: { PATH: process.env['PATH'], AGENT_AUDIT_URL: service.url, AGENT_AUDIT_KEY: KEY }, stdio: ['pipe', 'ignore', 'ignore'] });
    setTimeout(() => child.kill('SIGINT'), 1500);
    const code = await new Promise((resolve) => child.on('exit', (exit, signal) => resolve(exit ?? signal)));
    expect(code).toBe(130);
  });
});
