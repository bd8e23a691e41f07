import { createHmac } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openCheckpoint } from '../checkpoint.ts';
import { parseVerifier } from '../note.ts';
import { Anchors, parseAnchorTargets, type AnchorSettings, type AnchorTarget } from './index.ts';
import { bodyOf, FastClock, listen, TestLog } from './testing.ts';

let base: string;
let clock: FastClock;
let logged: { level: number; msg: string }[];
const opened: Anchors[] = [];

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'agent-audit-anchors-'));
  clock = new FastClock();
  logged = [];
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((anchors) => anchors.stop()));
  await rm(base, { recursive: true });
});

const log = pino({ level: 'debug' }, { write: (line: string) => void logged.push(JSON.parse(line) as { level: number; msg: string }) });
function open(targets: readonly AnchorTarget[]): Anchors {
  const anchors = new Anchors({ targets, stateFolder: join(base, 'state'), intervalMs: 60_000, clock, log });
  opened.push(anchors);
  return anchors;
}
const targets = (text: string, settings: Partial<AnchorSettings> = {}): AnchorTarget[] => parseAnchorTargets([text], { clock, ...settings });
const eventually = (check: () => void | Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 10_000, interval: 5 });
const sizes = (anchors: Anchors): number[] => anchors.state().flatMap(({ logs }) => logs.map(({ size }) => size));
const acme = new TestLog('agent-audit/acme/collector-1');
const other = new TestLog('agent-audit/other/collector-1');

/** A target in memory, which answers when and as it is told. */
function manual(concurrency = 8): AnchorTarget & { readonly calls: { origin: string; size: number; fromSize: number; atMs: number; answer: PromiseWithResolvers<readonly string[]> }[] } {
  const calls: ReturnType<typeof manual>['calls'] = [];
  return {
    name: 'manual', concurrency, calls,
    anchor: ({ origin, size }, fromSize) => {
      const answer = Promise.withResolvers<readonly string[]>();
      calls.push({ origin, size, fromSize, atMs: clock.ms, answer });
      return answer.promise;
    },
  };
}

describe('anchors', () => {
  it('take the newest of each log, one at a time, once in an interval', async () => {
    const target = manual();
    const anchors = open([target]);
    anchors.offer(acme.at(1));
    await eventually(() => expect(target.calls).toHaveLength(1));
    for (let size = 2; size < 10; size++) anchors.offer(acme.at(size));
    anchors.offer(acme.at(3));
    anchors.offer(other.at(4));
    await eventually(() => expect(target.calls).toHaveLength(2));
    // Still the same when it is done: that is not anchored again.
    anchors.offer(other.at(4));
    for (const { answer } of target.calls) answer.resolve([]);
    await eventually(() => expect(target.calls).toHaveLength(3));
    target.calls[2]?.answer.resolve([]);
    await eventually(() => expect(sizes(anchors).toSorted()).toEqual([4, 9]));
    anchors.offer(other.at(5));
    await eventually(() => expect(target.calls.map(({ size }) => size)).toEqual([1, 4, 9, 5]));
    expect(target.calls.map(({ origin, size, fromSize }) => [origin, size, fromSize])).toEqual([[acme.origin, 1, 0], [other.origin, 4, 0], [acme.origin, 9, 1], [other.origin, 5, 4]]);
    expect((target.calls[2]?.atMs ?? 0) - (target.calls[0]?.atMs ?? 0)).toBeGreaterThanOrEqual(60_000);
  });

  it('have no more under way at a target than it takes, and those that wait longest go first', async () => {
    const target = manual(2);
    const anchors = open([target]);
    const logs = Array.from({ length: 6 }, (_, i) => new TestLog(`log-${i}`));
    for (const one of logs) anchors.offer(one.at(1));
    for (let done = 0; done < 6; done++) {
      await eventually(() => expect(target.calls.length).toBe(Math.min(done + 2, 6)));
      anchors.offer((logs[0] as TestLog).at(2 + done));
      target.calls[done]?.answer.resolve([]);
    }
    expect(target.calls.slice(0, 6).map(({ origin }) => origin)).toEqual(logs.map(({ origin }) => origin));
  });

  it('are tried again after ever longer, with what is newest then', async () => {
    const target = manual();
    const anchors = open([target]);
    anchors.offer(acme.at(1));
    for (let i = 0; i < 14; i++) {
      await eventually(() => expect(target.calls).toHaveLength(i + 1));
      if (i === 5) anchors.offer(acme.at(2));
      target.calls[i]?.answer.reject(new Error('no'));
    }
    expect(anchors.state()).toMatchObject([{ target: 'manual', logs: [], lastError: { origin: acme.origin, code: 'anchor_failed', message: 'no' } }]);
    await eventually(() => expect(target.calls).toHaveLength(15));
    target.calls[14]?.answer.resolve(['a line\n']);
    await eventually(() => expect(anchors.cosignatures(acme.origin, 2)).toEqual(['a line\n']));
    const waits = target.calls.slice(1).map(({ atMs }, i) => atMs - (target.calls[i]?.atMs as number));
    for (const [i, wait] of waits.entries()) {
      const most = Math.min(1000 * 2 ** i, 600_000);
      expect(wait).toBeGreaterThanOrEqual(most / 2);
      expect(wait).toBeLessThanOrEqual(most + 1);
    }
    expect(target.calls.map(({ size }) => size)).toEqual([1, 1, 1, 1, 1, 1, ...Array.from({ length: 9 }, () => 2)]);
    expect(anchors.state()[0]?.lastError).toBeUndefined();
    expect(logged.map(({ msg }) => msg)).toEqual(['a checkpoint of a log cannot be anchored', 'checkpoints of a log are anchored again']);
  });

  it('go on after a restart, with the cosignatures that were collected', async () => {
    const first = manual();
    const before = open([first]);
    before.offer(acme.at(5));
    await eventually(() => expect(first.calls).toHaveLength(1));
    first.calls[0]?.answer.resolve(['a line\n']);
    await eventually(() => expect(sizes(before)).toEqual([5]));
    await before.stop();
    const second = manual();
    const after = open([second]);
    expect(after.state()).toEqual(before.state());
    expect(after.cosignatures(acme.origin, 5)).toEqual(['a line\n']);
    expect([after.cosignatures(acme.origin, 4), after.cosignatures(other.origin, 5)]).toEqual([[], []]);
    after.offer(acme.at(5));
    after.offer(acme.at(6));
    await eventually(() => expect(second.calls).toMatchObject([{ size: 6, fromSize: 5 }]));
  });

  it('go on after a crash', async () => {
    const before = open(targets(`file:${base}`));
    before.offer(acme.at(5));
    await eventually(async () => {
      const [name = ''] = await readdir(join(base, 'state'));
      expect(JSON.parse(await readFile(join(base, 'state', name), 'utf8'))).toMatchObject({ logs: [{ origin: acme.origin, size: 5 }] });
    });
    expect(sizes(open(targets(`file:${base}`)))).toEqual([5]);
  });

  it('begin anew where the state is damaged', async () => {
    const before = open(targets(`file:${base}`));
    before.offer(acme.at(5));
    await eventually(() => expect(sizes(before)).toEqual([5]));
    await before.stop();
    const [name] = await readdir(join(base, 'state'));
    for (const text of ['', '{"logs":[{}]}', '[]']) {
      await writeFile(join(base, 'state', name as string), text);
      logged = [];
      expect(sizes(open([manual(), ...targets(`file:${base}`)]))).toEqual([]);
      expect(logged).toHaveLength(1);
    }
  });

  it('say when a log was set back, or is another one, and ask nobody to keep it', async () => {
    const target = manual();
    const anchors = open([target]);
    anchors.offer(acme.at(5));
    await eventually(() => expect(target.calls).toHaveLength(1));
    target.calls[0]?.answer.resolve([]);
    await eventually(() => expect(sizes(anchors)).toEqual([5]));
    anchors.offer(acme.at(4));
    expect(anchors.state()[0]?.lastError).toMatchObject({ code: 'anchor_fork', message: expect.stringContaining('has 4 entries, but was anchored with 5') as string });
    anchors.offer(new TestLog(acme.origin, { salt: 'x' }).at(5));
    expect(anchors.state()[0]?.lastError).toMatchObject({ code: 'anchor_fork', message: expect.stringContaining('another tree of 5 entries') as string });
    expect(target.calls).toHaveLength(1);
  });

  it('stop while a target does not answer, and take nothing afterwards', async () => {
    const target = manual();
    const anchors = open([target]);
    anchors.offer(acme.at(5));
    await eventually(() => expect(target.calls).toHaveLength(1));
    await anchors.stop();
    anchors.offer(other.at(5));
    target.calls[0]?.answer.reject(new Error('late'));
    await clock.sleep(1);
    expect(target.calls).toHaveLength(1);
    expect(logged).toEqual([]);
  });
});

describe('a folder', () => {
  it('has one file per log, to which checkpoints are appended, also after a restart and behind half a checkpoint', async () => {
    const path = join(base, 'agent-audit%2Facme%2Fcollector-1.checkpoints');
    const first = open(targets(`file:${base}`));
    first.offer(acme.at(1));
    first.offer(other.at(1));
    await eventually(() => expect(sizes(first)).toHaveLength(2));
    first.offer(acme.at(2));
    await eventually(() => expect(sizes(first).toSorted()).toEqual([1, 2]));
    await first.stop();
    await writeFile(path, `${acme.at(3).checkpoint.slice(0, 40)}`, { flag: 'a' });
    const second = open(targets(`file:${base}`));
    second.offer(acme.at(4));
    await eventually(() => expect(sizes(second).toSorted()).toEqual([1, 4]));
    const text = await readFile(path, 'utf8');
    expect(text.startsWith(`${acme.at(1).checkpoint}\n${acme.at(2).checkpoint}\n`)).toBe(true);
    // As docs/proof.md says how to read it.
    const notes = [...text.matchAll(/^(?:.+\n){3}\n(?:— .+\n)+/gm)].map(([note]) => openCheckpoint(note, acme.origin, [parseVerifier(acme.signer.verifierKey)]).size);
    expect(notes).toEqual([1, 2, 4]);
  });

  it('that is not there is waited for, never made', async () => {
    const anchors = open(targets(`file:${join(base, 'mount')}`));
    anchors.offer(acme.at(1));
    await eventually(() => expect(anchors.state()[0]?.lastError).toMatchObject({ code: 'ENOENT' }));
    expect(await readdir(base)).toEqual(['state']);
    await mkdir(join(base, 'mount'));
    await eventually(() => expect(sizes(anchors)).toEqual([1]));
    expect(anchors.state()[0]?.lastError).toBeUndefined();
  });
});

describe('a webhook', () => {
  it('gets checkpoints once it works, signed with the secret', async () => {
    const requests: { headers: IncomingHttpHeaders; body: string; method: string | undefined; url: string | undefined }[] = [];
    await using server = await listen(async (request, response) => {
      requests.push({ headers: request.headers, body: await bodyOf(request), method: request.method, url: request.url });
      response.statusCode = [500, 429, 302][requests.length - 1] ?? 204;
      response.setHeader('location', '/elsewhere').end(response.statusCode === 204 ? undefined : 'not\nnow');
    });
    const anchors = open(targets(`${server.url}/hook?token=t`, { webhookSecret: 'geheim' }));
    anchors.offer(acme.at(3));
    await eventually(() => expect(anchors.state()[0]?.lastError?.message).toMatch(/^127\.0\.0\.1:\d+ has answered 500: not now$/));
    await eventually(() => expect(sizes(anchors)).toEqual([3]));
    const { checkpoint } = acme.at(3);
    expect(requests).toHaveLength(4);
    for (const { method, url, headers, body } of requests) {
      expect([method, url, body]).toEqual(['POST', '/hook?token=t', checkpoint]);
      expect(headers).toMatchObject({ 'content-type': 'text/plain; charset=utf-8', 'agent-audit-signature': `sha256=${createHmac('sha256', 'geheim').update(checkpoint).digest('hex')}` });
    }
    expect(JSON.stringify([anchors.state(), logged])).not.toMatch(/token|geheim/);
  });

  it('that is away is tried until it is there', async () => {
    const gone = await listen(() => {});
    await gone[Symbol.asyncDispose]();
    const anchors = open(targets(gone.url));
    anchors.offer(acme.at(1));
    await eventually(() => expect(anchors.state()[0]?.lastError).toMatchObject({ code: 'anchor_unreachable', message: expect.stringContaining('ECONNREFUSED') as string }));
  });

  it('that says yes and goes on without end has said yes', async () => {
    await using server = await listen((_, response) => {
      response.writeHead(200).write('more');
    });
    const anchors = open(targets(server.url, { timeoutMs: 2000 }));
    anchors.offer(acme.at(1));
    await eventually(() => expect(sizes(anchors)).toEqual([1]));
  });

  it.each<[string, Parameters<typeof listen>[0], RegExp, timeoutMs?: number]>([
    ['hangs', () => {}, /has not answered within 300 ms/],
    ['says no without end', (_, response) => {
      const write = (): void => void response.write('x'.repeat(65_536), (error) => (error ? undefined : write()));
      response.writeHead(500);
      write();
      // Long after the test has given up.
    }, /has answered 500$/, 60_000],
    ['says no, and then hangs', (_, response) => void response.writeHead(503).write('wait'), /has answered 503$/],
    ['says nonsense', (request) => void request.socket.end('HTTP/9 nonsense\r\n\r\n'), /cannot be reached/],
  ])('that %s is reported, and does not hold up a stop', async (_, handler, message, timeoutMs = 300) => {
    await using server = await listen(handler);
    const anchors = open(targets(server.url, { timeoutMs }));
    anchors.offer(acme.at(1));
    await eventually(() => expect(anchors.state()[0]?.lastError?.message).toMatch(message));
    await anchors.stop();
    expect(sizes(anchors)).toEqual([]);
  });
});
