import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openCheckpoint, parseCheckpoint, type Checkpoint } from '../checkpoint.ts';
import { EMPTY_ROOT, verifyConsistency } from '../merkle.ts';
import { formatSignature, NoteError, openNote, parseVerifier, rawPublic, type NoteVerifier } from '../note.ts';
import { Anchors, parseAnchorTargets } from './index.ts';
import { bodyOf, FastClock, listen, TestLog } from './testing.ts';

/** A witness, by the words of C2SP tlog-witness and tlog-cosignature. */
class TestWitness {
  readonly name = 'witness.example/w1';
  readonly verifierKey: string;
  /** What it was asked, and what it answered. */
  readonly exchanges: { old: number; size: number; proof: number; status: number }[] = [];
  /** By origin: the largest that it cosigned. */
  readonly latest = new Map<string, Checkpoint>();
  readonly #known = new Map<string, NoteVerifier>();
  readonly #key = generateKeyPairSync('ed25519');
  readonly #keyId: number;

  constructor(...logs: TestLog[]) {
    for (const { origin, signer } of logs) this.#known.set(origin, parseVerifier(signer.verifierKey));
    const key = Buffer.concat([Buffer.of(4), rawPublic(this.#key.publicKey)]);
    const id = createHash('sha256').update(`${this.name}\n`).update(key).digest().subarray(0, 4);
    this.#keyId = id.readUInt32BE();
    this.verifierKey = `${this.name}+${id.toString('hex')}+${key.toString('base64')}`;
  }

  cosign(text: string): string {
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(1_679_315_147n);
    const signature = sign(null, Buffer.from(`cosignature/v1\ntime 1679315147\n${text}`), this.#key.privateKey);
    return formatSignature({ name: this.name, keyId: this.#keyId, signature: Buffer.concat([time, signature]) });
  }

  readonly handle: RequestListener = async (request, response) => {
    const body = await bodyOf(request);
    const { status, text = '', type = 'text/plain' } = request.method === 'POST' && request.url === '/prefix/add-checkpoint' ? this.#add(body) : { status: 405 };
    response.writeHead(status, { 'content-type': type }).end(text);
  };

  #add(body: string): { status: number; text?: string; type?: string } {
    const end = body.indexOf('\n\n');
    const [first = '', ...lines] = body.slice(0, end).split('\n');
    const [, digits] = /^old (0|[1-9]\d*)$/.exec(first) ?? [];
    if (end === -1 || digits === undefined || lines.length > 63) return { status: 400 };
    const old = Number(digits);
    const note = body.slice(end + 2);
    const answer = this.#judge(old, lines.map((line) => Buffer.from(line, 'base64')), note);
    this.exchanges.push({ old, size: Number(note.split('\n')[1]), proof: lines.length, status: answer.status });
    return answer;
  }

  #judge(old: number, proof: Buffer[], note: string): { status: number; text?: string; type?: string } {
    const verifier = this.#known.get(note.slice(0, note.indexOf('\n')));
    if (verifier === undefined) return { status: 404, text: 'unknown log' };
    let text: string;
    try {
      ({ text } = openNote(note, [verifier]));
    } catch (error) {
      if (error instanceof NoteError) return { status: 403 };
      throw error;
    }
    const checkpoint = parseCheckpoint(text);
    if (old > checkpoint.size) return { status: 400 };
    const latest = this.latest.get(checkpoint.origin) ?? { size: 0, root: EMPTY_ROOT };
    const conflict = { status: 409, text: `${latest.size}\n`, type: 'text/x.tlog.size' };
    if (old !== latest.size) return conflict;
    if (old === checkpoint.size && Buffer.compare(latest.root, checkpoint.root) !== 0) return conflict;
    if (!verifyConsistency(old, checkpoint.size, latest.root, checkpoint.root, proof)) return { status: 422 };
    this.latest.set(checkpoint.origin, checkpoint);
    return { status: 200, text: `— stranger.example/w ${Buffer.alloc(76, 1).toString('base64')}\n${this.cosign(text)}` };
  }
}

let base: string;
let stateFolder: string;
const opened: Anchors[] = [];

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'agent-audit-witness-'));
  stateFolder = base;
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((anchors) => anchors.stop()));
  await rm(base, { recursive: true });
});

function open(url: string, verifierKey: string): Anchors {
  const clock = new FastClock();
  const anchors = new Anchors({ targets: parseAnchorTargets([`witness:${verifierKey}@${url}/prefix/`], { clock, timeoutMs: 500 }), stateFolder, intervalMs: 60_000, clock, log: pino({ level: 'silent' }) });
  opened.push(anchors);
  return anchors;
}
const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 10_000, interval: 5 });
const acme = new TestLog('agent-audit/acme/collector-1');
/** Anchors a size, and verifies the checkpoint with what was collected. */
async function anchor(anchors: Anchors, log: TestLog, size: number, witness: TestWitness): Promise<void> {
  const offered = log.at(size);
  anchors.offer(offered);
  await eventually(() => expect(anchors.cosignatures(log.origin, size)).toHaveLength(1));
  const note = offered.checkpoint + anchors.cosignatures(log.origin, size).join('');
  expect(openCheckpoint(note, log.origin, [log.signer.verifierKey, witness.verifierKey].map(parseVerifier)).signedBy).toEqual([log.origin, witness.name]);
}

it('cosigns what grew, from the size that it saw last', async () => {
  const witness = new TestWitness(acme);
  await using server = await listen(witness.handle);
  const anchors = open(server.url, witness.verifierKey);
  for (const size of [3, 4, 11]) await anchor(anchors, acme, size, witness);
  expect(anchors.cosignatures(acme.origin, 4)).toEqual([]);
  expect(witness.exchanges).toEqual([{ old: 0, size: 3, proof: 0, status: 200 }, { old: 3, size: 4, proof: 3, status: 200 }, { old: 4, size: 11, proof: 2, status: 200 }]);
});

it('is asked from its own size where ours was lost, also for a size that it has seen', async () => {
  const witness = new TestWitness(acme);
  await using server = await listen(witness.handle);
  await anchor(open(server.url, witness.verifierKey), acme, 5, witness);
  stateFolder = join(base, 'lost');
  await anchor(open(server.url, witness.verifierKey), acme, 5, witness);
  stateFolder = join(base, 'lost again');
  await anchor(open(server.url, witness.verifierKey), acme, 8, witness);
  expect(witness.exchanges.map(({ old, size, status }) => [old, size, status])).toEqual([[0, 5, 200], [0, 5, 409], [5, 5, 200], [0, 8, 409], [5, 8, 200]]);
});

it('that has seen more, or something else, is believed', async () => {
  const witness = new TestWitness(acme);
  await using server = await listen(witness.handle);
  await anchor(open(server.url, witness.verifierKey), acme, 5, witness);
  const fork = new TestLog(acme.origin, { salt: 'x', signer: acme.signer });
  for (const [size, message] of [[4, 'has seen 5 entries'], [8, 'has answered 422'], [5, 'has answered 409']] as const) {
    stateFolder = join(base, String(size));
    const anchors = open(server.url, witness.verifierKey);
    anchors.offer(fork.at(size));
    await eventually(() => expect(anchors.state()[0]?.lastError?.message).toContain(message));
    await anchors.stop();
    expect(anchors.cosignatures(acme.origin, size)).toEqual([]);
  }
  expect(witness.latest.get(acme.origin)?.size).toBe(5);
});

it('that does not know the log, or its key, says so', async () => {
  const witness = new TestWitness(acme);
  await using server = await listen(witness.handle);
  const anchors = open(server.url, witness.verifierKey);
  anchors.offer(new TestLog('agent-audit/other/collector-1').at(5));
  await eventually(() => expect(anchors.state()[0]?.lastError).toMatchObject({ code: 'anchor_refused', message: expect.stringMatching(/has answered 404: unknown log$/) as string }));
  await anchors.stop();
  const stranger = open(server.url, witness.verifierKey);
  stranger.offer(new TestLog(acme.origin).at(5));
  await eventually(() => expect(stranger.state()[0]?.lastError).toMatchObject({ code: 'anchor_refused', message: expect.stringMatching(/has answered 403$/) as string }));
});

const witness = new TestWitness(acme);
const { text } = openNote(acme.at(5).checkpoint, [parseVerifier(acme.signer.verifierKey)]);
it.each<[string, number, string, string, string]>([
  ['a cosignature of something else', 200, 'text/plain', witness.cosign(`${text}x\n`), 'the cosignature of the witness witness.example/w1 is wrong'],
  ['a right one and a wrong one', 200, 'text/plain', witness.cosign(text) + witness.cosign(`${text}x\n`), 'is wrong'],
  ['only a stranger\'s', 200, 'text/plain', `— stranger.example/w ${Buffer.alloc(76, 1).toString('base64')}\n`, 'no signature by its key'],
  ['nothing', 200, 'text/plain', '', 'has not answered with signatures'],
  ['a page', 200, 'text/html', '<html></html>\n', 'has not answered with signatures'],
  ['an endless answer', 200, 'text/plain', 'x'.repeat(70_000), 'more than 65536 bytes'],
  ['another success', 204, 'text/plain', '', 'has answered 204'],
  ['a conflict without a size', 409, 'text/x.tlog.size', 'many\n', 'has answered 409 without a size'],
  ['a conflict with a size that is too large for a number', 409, 'text/x.tlog.size', '9999999999999999\n', 'has answered 409 without a size'],
  ['a conflict with a size but not its type', 409, 'text/plain', '3\n', 'has answered 409: 3'],
  ['a conflict with a size that is too long', 409, 'text/x.tlog.size', '1'.repeat(1000), 'more than 100 bytes'],
  ['a conflict again and again', 409, 'text/x.tlog.size', '3\n', 'has answered 409: 3'],
  ['a conflict with what it was asked from', 409, 'text/x.tlog.size', '0\n', 'another tree of 0 entries'],
])('is not believed: %s', async (_, status, type, body, message) => {
  await using server = await listen((_, response) => void response.writeHead(status, { 'content-type': type }).end(status === 204 ? undefined : body));
  const anchors = open(server.url, witness.verifierKey);
  anchors.offer(acme.at(5));
  await eventually(() => expect(anchors.state()[0]?.lastError?.message).toContain(message));
  expect(anchors.cosignatures(acme.origin, 5)).toEqual([]);
});
