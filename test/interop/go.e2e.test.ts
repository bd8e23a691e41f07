import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AuditEvent, LogList } from '@agent-audit/schemas';
import { openCheckpoint, openNote, parseSigner, parseVerifier, signNote } from '@agent-audit/tlog';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toolCall } from '../support/events.ts';
import { buildGo, describeWithGo, type GoProgram } from '../support/go.ts';
import { memberText } from '../support/raw-json.ts';
import { startService, type TestService } from '../support/service.ts';
import type { Tenant } from '../support/tenant.ts';
import { until } from '../support/until.ts';

const FOLDER = fileURLToPath(new URL('go', import.meta.url));
const CHECKS = [
  'x/mod checkpoint', 'torchwood checkpoint', 'transparency-dev checkpoint', 'x/mod tiles', 'x/mod record proofs', 'x/mod tree proof from tiles', 'x/mod tree proof as served',
  'torchwood entries', 'torchwood tlog-proof', 'transparency-dev tlog-proof', 'crypto/ed25519 endorsements',
];

await describeWithGo('implementations in Go', FOLDER, () => {
  let go: GoProgram;
  let dir: string;
  let service: TestService;
  let tenant: Tenant;
  let events: AuditEvent[];
  let log: LogList['logs'][number];
  let checkpoint: string;
  let answers: { logs: string; older: string; proof: string; event: string };

  beforeAll(async () => {
    go = await buildGo(FOLDER);
    dir = await mkdtemp(join(tmpdir(), 'agent-audit-interop-'));
    const files = [];
    for (const name of ['older', 'newer']) {
      const file = join(dir, `${name}.key`);
      await writeFile(file, (await newKey(name))[0], { mode: 0o600 });
      files.push(file);
    }
    service = await startService({ LOG_KEY_FILE: files.join(',') });
    tenant = await service.newTenant();
    events = Array.from({ length: 750 }, () => toolCall());
    await recordIntoLog(events.slice(0, 600));
    log = (await theLogs()).logs[0] as typeof log;
    const path = `/v1/logs/${log.log_id}/checkpoint`;
    const older = (await tenant.get(path)).text;
    await recordIntoLog(events.slice(600));
    checkpoint = (await tenant.get(path)).text;
    const about = `/v1/events/${idOf(277)}`;
    answers = {
      logs: JSON.stringify(await theLogs()), older, proof: (await tenant.get(`${about}/proof`)).text,
      event: memberText((await tenant.get(about)).text, 'event') as string,
    };
  }, 300_000);

  afterAll(async () => {
    await service?.stop();
    await go?.remove();
    if (dir !== undefined) await rm(dir, { recursive: true });
  });

  /** @returns the private key and the verifier key, made by Go */
  const newKey = async (name: string): Promise<[string, string]> => (await go.run(['key', name])).out.trimEnd().split('\n') as [string, string];
  const idOf = (place: number): string => events[place]?.event_id as string;
  const theLogs = async (): Promise<LogList> => (await tenant.get('/v1/logs')).json() as LogList;

  /** Resolves when the checkpoint covers them. */
  async function recordIntoLog(batch: readonly AuditEvent[]): Promise<void> {
    await tenant.record(batch);
    const last = batch.at(-1)?.event_id as string;
    await until(async () => ((await tenant.get(`/v1/events/${last}`)).json() as { proof: { state: string } }).proof.state, (state) => state === 'verified');
  }

  /** @returns exit code, and each check with whether it went well */
  async function check(changed: Partial<typeof answers & { url: string; id: string; vkeys: string[] }> = {}): Promise<{ code: number; said: Map<string, string>; out: string }> {
    const { url = service.url, id = idOf(277), vkeys = log.keys.map((key) => key.verifier_key), ...rest } = changed;
    const args = ['check', '-log', `${url}/v1/logs/${log.log_id}`, '-key', tenant.key, '-tenant', tenant.name, '-id', id, ...vkeys.flatMap((vkey) => ['-vkey', vkey])];
    for (const [name, text] of Object.entries({ ...answers, ...rest })) {
      await writeFile(join(dir, name), text);
      args.push(`-${name}`, join(dir, name));
    }
    const { code, out, err } = await go.run(args);
    const lines = out.trimEnd().split('\n').map((line) => /^(ok|FAILED) ([^:]+): /.exec(line) as RegExpExecArray);
    return { code, said: new Map(lines.map(([, how, name]) => [name as string, how as string])), out: out + err };
  }

  async function failed(changed: Parameters<typeof check>[0]): Promise<string[]> {
    const { code, said, out } = await check(changed);
    expect(code, out).toBe(1);
    return [...said].filter(([, how]) => how === 'FAILED').map(([name]) => name);
  }

  test('accept checkpoints, tiles, entries and proofs', async () => {
    const { code, said, out } = await check();
    expect(said, out).toEqual(new Map(CHECKS.map((name) => [name, 'ok'])));
    expect(code, out).toBe(0);
    // Tiles: 3 of leaves, and the one above them.
    for (const line of ['ok x/mod checkpoint: 2 signatures', 'ok x/mod tiles: the root of 750 leaves, from 4 tiles', 'ok x/mod tree proof from tiles: 600 to 750 entries', 'ok torchwood entries: 750', 'ok crypto/ed25519 endorsements: 1']) expect(out.split('\n')).toContain(line);
  });

  const TLOG_PROOFS = ['torchwood tlog-proof', 'transparency-dev tlog-proof'];

  test('refuse a proof with a bit flipped, in any of its hashes', async () => {
    const lines = answers.proof.split('\n');
    const [first, end] = [lines.findIndex((line) => line.startsWith('index ')) + 1, lines.indexOf('')];
    expect(end - first).toBe(10);
    for (let i = first; i < end; i++) {
      const hash = Buffer.from(lines[i] as string, 'base64');
      hash[i] = (hash[i] as number) ^ 1;
      expect(await failed({ proof: lines.with(i, hash.toString('base64')).join('\n') }), `hash ${i - first}`).toEqual(TLOG_PROOFS);
    }
    const one = answers.proof.replace('\nindex 277\n', '\nindex 278\n');
    expect(await failed({ proof: one })).toEqual(TLOG_PROOFS);
  });

  test('refuse another event, and the event with a byte changed', async () => {
    expect(await failed({ event: answers.event.replace('success', 'failure') })).toEqual(TLOG_PROOFS);
    expect(await failed({ event: JSON.stringify(events[278]) })).toEqual(TLOG_PROOFS);
    expect(await failed({ id: idOf(278) })).toEqual(TLOG_PROOFS);
  });

  test('refuse the checkpoint of other keys', async () => {
    const [, stranger] = await newKey(log.origin);
    expect(await failed({ vkeys: [stranger] })).toEqual(['x/mod checkpoint']);
  });

  test('refuse an endorsement that another key made', async () => {
    const { logs: [one] } = JSON.parse(answers.logs) as LogList;
    const keys = (one as typeof log).keys.map((key) => ({ ...key, created_at: '2020-01-01T00:00:00.000Z' }));
    expect(await failed({ logs: JSON.stringify({ logs: [{ ...one, keys }] }) })).toEqual(['crypto/ed25519 endorsements']);
  });

  const OF_LEAVES = ['x/mod tiles', 'x/mod record proofs', 'torchwood entries'];
  const OF_EDGE = ['x/mod tiles', 'x/mod record proofs', 'x/mod tree proof from tiles', 'torchwood entries'];
  test.each<[string, RegExp, string[]]>([
    ['the checkpoint', /\/checkpoint$/, ['x/mod checkpoint']],
    ['a tile of leaves', /\/tile\/0\/000$/, OF_LEAVES],
    ['the tile at the edge', /\/tile\/0\/002\.p\/238$/, OF_EDGE],
    ['the tile above', /\/tile\/1\/000\.p\/2$/, OF_EDGE],
    ['a bundle of entries', /\/tile\/entries\/001$/, ['torchwood entries']],
    ['the tree proof', /\/consistency\?/, ['x/mod tree proof as served']],
  ])('refuse %s with a byte changed on its way', async (_, which, names) => {
    const proxy = await tamperer(service.url, which);
    try {
      const { port } = proxy.server.address() as AddressInfo;
      expect(await failed({ url: `http://127.0.0.1:${port}` })).toEqual(names);
      expect(proxy.tampered()).toBeGreaterThan(0);
    } finally {
      proxy.server.closeAllConnections();
      proxy.server.close();
    }
  });

  test('make notes and cosignatures that are accepted here', async () => {
    const { code, out, err } = await go.run(['sign'], checkpoint);
    expect(code, err).toBe(0);
    const made = JSON.parse(out) as { private_key: string; verifier_key: string; note: string; cosigned: string; cosigners: string[] };
    const { text } = openNote(made.note, [parseVerifier(made.verifier_key)]);
    expect(text).toBe(checkpoint.slice(0, text.length));
    expect(parseSigner(made.private_key).verifierKey).toBe(made.verifier_key);
    expect(signNote(text, [parseSigner(made.private_key)])).toBe(made.note);
    expect(() => openNote(made.note.replace('\n750\n', '\n751\n'), [parseVerifier(made.verifier_key)])).toThrow('is wrong');

    const known = [...log.keys.map((key) => key.verifier_key), ...made.cosigners].map(parseVerifier);
    const witnesses = ['torchwood.example/witness', 'transparency-dev.example/witness'];
    expect(known.filter(({ cosigns }) => cosigns).map(({ name }) => name)).toEqual(witnesses);
    expect(openCheckpoint(made.cosigned, log.origin, known)).toMatchObject({ size: 750, signedBy: [log.origin, log.origin, ...witnesses] });
    expect(() => openCheckpoint(made.cosigned.replace('\n750\n', '\n751\n'), log.origin, known)).toThrow('is wrong');
    for (const witness of made.cosigners.map(parseVerifier)) expect(() => openNote(made.cosigned.replace('\n750\n', '\n751\n'), [witness]), witness.name).toThrow(`the signature of ${witness.name} is wrong`);
  });
});

/** In front of the service: of answers to some paths, a byte is another one. */
async function tamperer(url: string, which: RegExp): Promise<{ server: Server; tampered: () => number }> {
  let count = 0;
  const server = createServer(async (request, response) => {
    const answer = await fetch(url + request.url, { headers: { authorization: request.headers.authorization ?? '' } });
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (which.test(request.url ?? '')) {
      count++;
      const at = bytes.length - 40;
      // Base64 stays base64.
      bytes[at] = bytes[at] === 65 ? 66 : 65;
    }
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, tampered: () => count };
}
