import { createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { chmod, copyFile, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generateSigner, openNote, parseNote, parsePrivateKey, parseVerifier, rawPublic, verifierKey } from '../note.ts';
import { endorsementText, openLogKeys, verifyEndorsements, type LogKey, type LogKeys, type LogKeysOptions } from './index.ts';

const ORIGIN = 'agent-audit/default/collector-1';
const TEXT = `${ORIGIN}\n7\n4YIc2U2qYTqx7YXPzcPDFrM9dFvS9vhkfSjAKsIZQX0=\n`;
const OVERLAP_MS = 30 * 86_400_000;

let base: string;
let folder: string;
let nowMs: number;
let logged: { level: number; msg: string }[];

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'agent-audit-log-keys-'));
  folder = join(base, 'log-keys');
  nowMs = Date.UTC(2026, 0, 1);
  logged = [];
});
afterEach(() => rm(base, { recursive: true }));

const clock: LogKeysOptions['clock'] = { nowMicros: () => BigInt(nowMs) * 1000n, monotonicMs: () => 0, sleep: async () => {} };
const log = pino({ level: 'debug' }, { write: (line: string) => void logged.push(JSON.parse(line) as { level: number; msg: string }) });
const open = (options: Partial<LogKeysOptions> = {}): Promise<LogKeys> => openLogKeys({ folder, overlapMs: OVERLAP_MS, clock, log, ...options });
const warnings = (): string[] => logged.filter(({ level }) => level >= 40).map(({ msg }) => msg);

const hex = (key: Pick<LogKey, 'publicKey'>): string => Buffer.from(key.publicKey).toString('hex');
const pemOf = (key: Pick<LogKey, 'publicKey'>): string => join(folder, `${hex(key)}.pem`);
/** Whether a note of these keys, signed now, is verified by somebody who knows that key alone. */
async function isSignedBy(keys: LogKeys, key: Pick<LogKey, 'publicKey'>): Promise<boolean> {
  const note = await keys.sign(ORIGIN, TEXT);
  const verifier = parseVerifier(verifierKey(ORIGIN, key.publicKey));
  if (!parseNote(note).signatures.some(({ keyId }) => keyId === verifier.keyId)) return false;
  return openNote(note, [verifier]).text === TEXT;
}
const latest = (keys: LogKeys): LogKey => keys.list().at(-1) as LogKey;
const reachedFrom = (key: LogKey, keys: readonly LogKey[]): string[] => verifyEndorsements(key.publicKey, keys).map((publicKey) => hex({ publicKey }));

async function makePem(name: string, mode = 0o600): Promise<{ path: string; key: KeyObject; publicKey: Buffer }> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const path = join(base, name);
  await writeFile(path, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode });
  await chmod(path, mode);
  return { path, key: privateKey, publicKey: rawPublic(publicKey) };
}

describe('keys in the folder', () => {
  it('are made at the first start, for the owner alone, and are the same at the next', async () => {
    const keys = await open();
    expect(keys.list()).toMatchObject([{ createdAt: '2026-01-01T00:00:00.000Z', retiresAt: undefined, endorsement: undefined, source: 'folder' }]);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const pem = pemOf(latest(keys));
    expect((await stat(pem)).mode & 0o777).toBe(0o600);
    expect(createPrivateKey(await readFile(pem)).asymmetricKeyType).toBe('ed25519');
    expect((await readdir(folder)).toSorted()).toEqual([`${hex(latest(keys))}.pem`, 'keys.json'].toSorted());
    expect(await isSignedBy(keys, latest(keys))).toBe(true);
    nowMs += 1000;
    expect((await open()).list()).toEqual(keys.list());
  });

  it('sign for every log, under its name', async () => {
    const keys = await open();
    const other = 'agent-audit/acme/collector-1';
    const note = await keys.sign(other, TEXT);
    expect(openNote(note, [parseVerifier(verifierKey(other, latest(keys).publicKey))]).signedBy).toMatchObject([{ name: other }]);
    expect(() => openNote(note, [parseVerifier(verifierKey(ORIGIN, latest(keys).publicKey))])).toThrow('nobody who is trusted');
  });

  it.each([0o640, 0o604, 0o620])('are refused where others may read or write them (%o)', async (mode) => {
    const pem = pemOf(latest(await open()));
    await chmod(pem, mode);
    await expect(open()).rejects.toMatchObject({ code: 'log_key_permissions', message: expect.stringContaining(`chmod 600 ${pem}`) as string });
    await chmod(pem, 0o600);
    await chmod(folder, 0o750);
    await expect(open()).rejects.toMatchObject({ code: 'log_key_permissions', message: expect.stringContaining(`chmod 700 ${folder}`) as string });
  });

  it('are never replaced silently: a key that is gone, a key under another name, a damaged record', async () => {
    const keys = await open();
    const pem = pemOf(latest(keys));
    await rename(pem, join(base, 'away'));
    await expect(open()).rejects.toMatchObject({ code: 'log_key_missing', message: expect.stringContaining(`${hex(latest(keys))}.pem`) as string });
    await copyFile(join(base, 'away'), join(folder, `${'0'.repeat(64)}.pem`));
    await expect(open()).rejects.toMatchObject({ code: 'log_key_unreadable' });
    await rm(join(folder, `${'0'.repeat(64)}.pem`));
    await rename(join(base, 'away'), pem);
    await writeFile(join(folder, 'keys.json'), '{"keys":[{}]}');
    await expect(open()).rejects.toMatchObject({ code: 'log_key_unreadable', message: expect.stringContaining('keys.json') as string });
  });

  it('go on with a new one once a person has given the lost one up', async () => {
    const lost = latest(await open());
    await rm(pemOf(lost));
    const record = join(folder, 'keys.json');
    await writeFile(record, (await readFile(record, 'utf8')).replace('"retires_at": null', '"retires_at": "2026-01-01T00:00:00Z"'));
    const keys = await open();
    expect(keys.list()).toMatchObject([{ publicKey: lost.publicKey, retiresAt: '2026-01-01T00:00:00.000Z' }, { endorsement: undefined }]);
    expect(warnings()).toEqual([expect.stringContaining('no key before it can vouch')]);
    expect(await isSignedBy(keys, latest(keys))).toBe(true);
  });
});

describe('a rotation', () => {
  it('lets both keys sign for the overlap, and then the new one alone; the old private part is gone', async () => {
    const keys = await open();
    const old = latest(keys);
    nowMs += 1000;
    const fresh = await keys.rotate();
    expect(keys.list()).toEqual([{ ...old, retiresAt: new Date(nowMs + OVERLAP_MS).toISOString() }, fresh]);
    expect(reachedFrom(old, keys.list())).toEqual([hex(old), hex(fresh)]);
    for (const current of [keys, await open()]) expect([await isSignedBy(current, old), await isSignedBy(current, fresh)]).toEqual([true, true]);
    nowMs += OVERLAP_MS - 1;
    expect([await isSignedBy(keys, old), await isSignedBy(keys, fresh)]).toEqual([true, true]);
    nowMs += 1;
    expect([await isSignedBy(keys, old), await isSignedBy(keys, fresh)]).toEqual([false, true]);
    expect(await readdir(folder)).not.toContain(`${hex(old)}.pem`);
    expect((await open()).list()).toEqual(keys.list());
  });

  it('removes the old private part at a start, too', async () => {
    const keys = await open();
    const old = latest(keys);
    const fresh = await keys.rotate();
    nowMs += OVERLAP_MS;
    const again = await open();
    expect(await readdir(folder)).not.toContain(`${hex(old)}.pem`);
    expect([await isSignedBy(again, old), await isSignedBy(again, fresh)]).toEqual([false, true]);
  });

  it('within another\'s overlap leaves three that sign', async () => {
    const keys = await open();
    const [first] = keys.list() as [LogKey];
    const [second, third] = await Promise.all([keys.rotate(), keys.rotate()]);
    for (const key of [first, second, third]) expect(await isSignedBy(keys, key)).toBe(true);
    expect(keys.list().map(({ retiresAt }) => retiresAt === undefined)).toEqual([false, false, true]);
    expect(reachedFrom(first, keys.list())).toEqual([first, second, third].map(hex));
    expect(reachedFrom(second, keys.list())).toEqual([second, third].map(hex));
  });

  it('that broke off before the record was written is finished at the next start', async () => {
    const keys = await open();
    const [old] = keys.list() as [LogKey];
    const before = await readFile(join(folder, 'keys.json'));
    const fresh = await keys.rotate();
    // As a crash leaves it: the new key is there, the record is the old one, and its successor half written.
    await writeFile(join(folder, 'keys.json'), before);
    await writeFile(join(folder, 'keys.json.tmp'), '{"keys":');
    nowMs += 5000;
    const again = await open();
    expect(again.list()).toMatchObject([{ publicKey: old.publicKey, retiresAt: new Date(nowMs + OVERLAP_MS).toISOString() }, { publicKey: fresh.publicKey, retiresAt: undefined }]);
    expect(reachedFrom(old, again.list())).toEqual([hex(old), hex(fresh)]);
    expect([await isSignedBy(again, old), await isSignedBy(again, fresh)]).toEqual([true, true]);
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('that broke off while the key was written never happened', async () => {
    const keys = await open();
    await writeFile(join(folder, `${'a'.repeat(64)}.pem.tmp`), '-----BEGIN', { mode: 0o644 });
    expect((await open()).list()).toEqual(keys.list());
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('that cannot be written down changes nothing that signs', async () => {
    const keys = await open();
    const before = keys.list();
    await rename(folder, join(base, 'away'));
    await expect(keys.rotate()).rejects.toThrow('ENOENT');
    await rename(join(base, 'away'), folder);
    expect(keys.list()).toEqual(before);
    await keys.rotate();
    expect(keys.list()).toHaveLength(2);
  });
});

describe('keys from files', () => {
  it('all sign, as PEM or as Go writes them, and the later are endorsed by the earlier', async () => {
    const one = await makePem('one.pem');
    const seed = generateSigner('whatever');
    await writeFile(join(base, 'two.key'), `${seed}\n`, { mode: 0o600 });
    const keys = await open({ keyFiles: [one.path, join(base, 'two.key')] });
    expect(keys.list()).toMatchObject([{ publicKey: one.publicKey, source: 'file', retiresAt: undefined }, { source: 'file', retiresAt: undefined }]);
    for (const key of keys.list()) expect(await isSignedBy(keys, key)).toBe(true);
    expect(parsePrivateKey(seed).name).toBe('whatever');
    expect(reachedFrom(keys.list()[0] as LogKey, keys.list())).toEqual(keys.list().map(hex));
    expect(await readdir(folder)).toEqual(['keys.json']);
    await expect(keys.rotate()).rejects.toMatchObject({ code: 'log_key_not_ours' });
  });

  it('are rotated by settings: old, old and new, new', async () => {
    const [one, two] = [await makePem('one.pem'), await makePem('two.pem')];
    await open({ keyFiles: [one.path] });
    nowMs += 1000;
    await open({ keyFiles: [one.path, two.path] });
    nowMs += 1000;
    const keys = await open({ keyFiles: [two.path] });
    expect(keys.list()).toMatchObject([{ publicKey: one.publicKey, retiresAt: '2026-01-01T00:00:02.000Z' }, { publicKey: two.publicKey, retiresAt: undefined, createdAt: '2026-01-01T00:00:01.000Z' }]);
    expect([await isSignedBy(keys, one), await isSignedBy(keys, two)]).toEqual([false, true]);
    expect(reachedFrom(keys.list()[0] as LogKey, keys.list())).toHaveLength(2);
    expect(warnings()).toEqual([]);
    // And back.
    expect((await open({ keyFiles: [one.path] })).list()).toMatchObject([{ retiresAt: undefined }, { retiresAt: '2026-01-01T00:00:02.000Z' }]);
  });

  it('take over from the folder\'s key as in a rotation, and give back to a new one', async () => {
    const own = latest(await open());
    const given = await makePem('given.pem');
    const keys = await open({ keyFiles: [given.path] });
    expect([await isSignedBy(keys, own), await isSignedBy(keys, given)]).toEqual([true, true]);
    expect(reachedFrom(own, keys.list())).toEqual([hex(own), hex(given)]);
    nowMs += OVERLAP_MS;
    expect([await isSignedBy(keys, own), await isSignedBy(keys, given)]).toEqual([false, true]);
    const back = await open();
    expect(back.list()).toHaveLength(3);
    expect([await isSignedBy(back, given), await isSignedBy(back, latest(back))]).toEqual([false, true]);
    expect(warnings()).toEqual([expect.stringContaining('no key before it can vouch')]);
  });

  it('may be the folder\'s own, moved to a secret store and back', async () => {
    const own = latest(await open());
    const moved = join(base, 'secret.pem');
    await copyFile(pemOf(own), moved);
    expect((await open({ keyFiles: [moved] })).list()).toEqual([{ ...own, source: 'file' }]);
    expect((await open()).list()).toEqual([own]);
  });

  it('only warn where others may read them', async () => {
    const { path } = await makePem('one.pem', 0o644);
    await open({ keyFiles: [path] });
    expect(warnings()).toEqual(['others than its owner may read a key of the log']);
  });

  it.each([
    ['missing', undefined, 'ENOENT'], ['nonsense', 'nonsense', 'openssl genpkey'], ['altered', generateSigner('a').replace(/\+[\da-f]{8}\+/, '+00000000+'), 'openssl genpkey'],
    ['of another kind', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string, 'no Ed25519'],
  ])('are refused: %s', async (_, content, message) => {
    const path = join(base, 'bad');
    if (content !== undefined) await writeFile(path, content, { mode: 0o600 });
    const refused = await open({ keyFiles: [path] }).then(() => undefined, (error: Error) => error);
    expect(refused).toMatchObject({ name: 'LogKeyError', code: 'log_key_unreadable', message: expect.stringContaining(message) as string });
    if (content !== undefined) expect(refused?.message).not.toContain(content);
  });
});

describe('a key that only a command can use', () => {
  /** A command that signs what it reads; `then` is more JavaScript for its end. */
  async function command(body = 'process.stdout.write(sign(null, text, createPrivateKey(readFileSync(process.argv[2]))).toString("base64") + "\\n")'): Promise<{ command: string; publicKey: string; timeoutMs: number; raw: Buffer }> {
    const { path, publicKey } = await makePem('kms.pem');
    const script = join(base, 'sign.mjs');
    await writeFile(script, `import { readFileSync } from 'node:fs';\nimport { createPrivateKey, sign } from 'node:crypto';\nconst text = readFileSync(0);\n${body};\n`);
    return { command: JSON.stringify([process.execPath, script, path]), publicKey: publicKey.toString('base64'), timeoutMs: 10_000, raw: publicKey };
  }

  it('gets the text on standard input, and its signature is the key\'s', async () => {
    const kms = await command();
    const keys = await open({ command: kms });
    expect(keys.list()).toMatchObject([{ publicKey: kms.raw, source: 'command' }]);
    expect(await isSignedBy(keys, { publicKey: kms.raw })).toBe(true);
    const words = await open({ command: { ...kms, command: (JSON.parse(kms.command) as string[]).join('  '), publicKey: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), kms.raw]).toString('base64') } });
    expect(await isSignedBy(words, { publicKey: kms.raw })).toBe(true);
  });

  it('is endorsed by a file\'s, and both sign', async () => {
    const kms = await command();
    const file = await makePem('one.pem');
    const keys = await open({ command: kms, keyFiles: [file.path] });
    expect([await isSignedBy(keys, file), await isSignedBy(keys, { publicKey: kms.raw })]).toEqual([true, true]);
    expect(reachedFrom(keys.list()[0] as LogKey, keys.list())).toHaveLength(2);
  });

  it.each([
    ['ends with 3', 'console.error("no such key: " + "x".repeat(9000)); process.exit(3)', /ended with 3; it says: no such key: x{487}$/],
    ['prints nothing', '', /it printed 0 characters/],
    ['prints another key\'s signature', 'process.stdout.write(Buffer.alloc(64, 7).toString("base64"))', /signed with another key/],
    ['signs something else', 'process.stdout.write(sign(null, text.subarray(1), createPrivateKey(readFileSync(process.argv[2]))).toString("base64"))', /something else than its standard input/],
    ['prints without end', 'for (let i = 0; i < 1000; i++) process.stdout.write("A".repeat(1000))', /it printed 4096 characters/],
    ['kills itself', 'process.kill(process.pid, "SIGTERM")', /ended with SIGTERM/],
  ])('that %s is reported', async (_, body, message) => {
    const keys = await open({ command: await command(body) });
    await expect(keys.sign(ORIGIN, TEXT)).rejects.toMatchObject({ code: 'log_key_cannot_sign', message: expect.stringMatching(message) as string });
  });

  it('that hangs is ended', async () => {
    const keys = await open({ command: { ...(await command('setInterval(() => {}, 1000)')), timeoutMs: 300 } });
    await expect(keys.sign(ORIGIN, TEXT)).rejects.toThrow('has not answered within 300 ms');
  });

  it('that cannot be run leaves it to the others', async () => {
    const file = await makePem('one.pem');
    const kms = { command: '/nonexistent/program', publicKey: Buffer.alloc(32, 9).toString('base64') };
    await expect((await open({ command: kms })).sign(ORIGIN, TEXT)).rejects.toThrow('/nonexistent/program cannot be run: ENOENT');
    const keys = await open({ command: kms, keyFiles: [file.path] });
    expect(await isSignedBy(keys, file)).toBe(true);
    expect(warnings()).toContain('a key of the log cannot sign; others have');
  });

  it.each([['', 'A'.repeat(43)], ['[1]', 'A'.repeat(43)], ['["a"', 'A'.repeat(43)], ['a', 'AAAA'], ['a', '']])('is refused: %j with the public key %j', async (text, publicKey) => {
    await expect(open({ command: { command: text, publicKey } })).rejects.toMatchObject({ code: 'log_key_setting' });
  });
});

describe('endorsements', () => {
  const pairs = Array.from({ length: 4 }, () => generateKeyPairSync('ed25519'));
  const raw = pairs.map(({ publicKey }) => rawPublic(publicKey));
  const createdAt = '2026-01-01T00:00:00.000Z';
  const endorsed = (by: number, of: number): { publicKey: Buffer; createdAt: string; endorsement: Buffer } => ({
    publicKey: raw[of] as Buffer, createdAt, endorsement: sign(null, Buffer.from(endorsementText(raw[by] as Buffer, raw[of] as Buffer, createdAt)), pairs[by]?.privateKey as KeyObject),
  });
  const first = { publicKey: raw[0] as Buffer, createdAt, endorsement: undefined };
  const [trusted] = raw as [Buffer];

  it('lead from a trusted key to those after it', () => {
    expect(verifyEndorsements(trusted, [first, endorsed(0, 1), endorsed(1, 2)])).toEqual(raw.slice(0, 3));
    // One may have been skipped: a command that did not answer.
    expect(verifyEndorsements(trusted, [first, endorsed(0, 1), endorsed(0, 2)])).toEqual(raw.slice(0, 3));
    expect(verifyEndorsements(raw[1] as Buffer, [first, endorsed(0, 1), endorsed(1, 2)])).toEqual([raw[1], raw[2]]);
    expect(verifyEndorsements(trusted, [])).toEqual([trusted]);
  });

  it.each([
    ['by itself', { ...endorsed(1, 1) }], ['by a stranger', endorsed(3, 1)], ['of another time', { ...endorsed(0, 1), createdAt: '2026-01-01T00:00:00.001Z' }], ['of another key', { ...endorsed(0, 2), publicKey: raw[1] as Buffer }],
    ['none', { ...endorsed(0, 1), endorsement: undefined }], ['too short', { ...endorsed(0, 1), endorsement: Buffer.of(1) }], ['of a key that is none', { ...endorsed(0, 1), publicKey: Buffer.of(1) }],
  ])('that are forged lead nowhere, nor do those after them: %s', (_, forged) => {
    expect(verifyEndorsements(trusted, [first, forged, endorsed(1, 2)])).toEqual([trusted]);
  });

  it('cannot be a checkpoint: no log has a name with spaces', async () => {
    const keys = await open();
    await expect(keys.sign('agent-audit log key endorsement v1', TEXT)).rejects.toThrow('is not the name of a key');
  });

  it('are looked at within bounds', () => {
    expect(() => verifyEndorsements(trusted, Array.from({ length: 257 }, () => endorsed(3, 1)))).toThrow(RangeError);
  });
});
