import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Store } from '@agent-audit/queries';
import type { LogList, ProofState, Recorded } from '@agent-audit/schemas';
import {
  covers, entriesPath, eventLeaf, leafHash, nodesFrom, openCheckpoint, openNote, parseErasure, parseTlogProof, parseVerifier, rootOf, saltedDigest, tilePath, tilesSince,
  verifyConsistency, verifyEndorsements, verifyInclusion,
  type Checkpoint, type NoteVerifier, type Tile,
} from '@agent-audit/tlog';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EVER, toolCall } from '../support/events.ts';
import type { Answer } from '../support/http.ts';
import { memberText } from '../support/raw-json.ts';
import { startService, type TestService } from '../support/service.ts';
import type { Tenant } from '../support/tenant.ts';
import { until } from '../support/until.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

interface EventAnswer {
  readonly recorded: Recorded & { readonly salt: string };
  readonly proof: ProofState;
}

const eventOf = async (tenant: Tenant, id: string): Promise<EventAnswer> => (await tenant.get(`/v1/events/${id}`)).json() as EventAnswer;
const verified = (tenant: Tenant, id: string): Promise<EventAnswer> => until(() => eventOf(tenant, id), ({ proof }) => proof.state === 'verified');

async function theLog(tenant: Tenant): Promise<{ path: string; origin: string; verifier: NoteVerifier }> {
  const { logs } = (await tenant.get('/v1/logs')).json() as LogList;
  expect(logs).toHaveLength(1);
  const [{ log_id: id, origin, keys }] = logs as [LogList['logs'][number]];
  return { path: `/v1/logs/${id}`, origin, verifier: parseVerifier(keys[0]?.verifier_key as string) };
}

async function checkpointOf(tenant: Tenant, { path, origin, verifier }: Awaited<ReturnType<typeof theLog>>): Promise<Checkpoint> {
  return openCheckpoint((await tenant.get(`${path}/checkpoint`)).text, origin, [verifier]);
}

test('whoever has the event, its proof and the public key needs nothing else', async () => {
  const tenant = await service.newTenant();
  const events = Array.from({ length: 300 }, () => toolCall());
  await tenant.record(events);
  const id = events[277]?.event_id as string;
  const { recorded, proof: state } = await verified(tenant, id);
  expect(state.checkpoint_size).toBe(300);
  const log = await theLog(tenant);

  const proof = parseTlogProof((await tenant.get(`/v1/events/${id}/proof`)).text);
  const said = JSON.parse(Buffer.from(proof.extra as Uint8Array).toString()) as { tenant: string; event_id: string; received_at_us: number; salt: string };
  expect(said.salt).toBe(recorded.salt);
  const raw = memberText((await tenant.get(`/v1/events/${id}`)).text, 'event') as string;
  const { size, root } = openCheckpoint(proof.checkpoint, log.origin, [log.verifier]);
  const leafOf = (text: string): Uint8Array => eventLeaf({ tenant: said.tenant, eventId: said.event_id, receivedAtMicros: said.received_at_us, digest: saltedDigest(Buffer.from(said.salt, 'base64'), Buffer.from(text)) });
  expect(proof.index).toBe(recorded.log_index);
  expect(verifyInclusion(leafOf(raw), proof.index, size, proof.hashes, root)).toBe(true);
  expect(verifyInclusion(leafOf(`${raw} `), proof.index, size, proof.hashes, root)).toBe(false);
});

test('tiles and entries are those of the checkpoint, which only grows', async () => {
  const tenant = await service.newTenant();
  const first = Array.from({ length: 700 }, () => toolCall());
  await tenant.record(first);
  await verified(tenant, first[699]?.event_id as string);
  const log = await theLog(tenant);
  const before = await checkpointOf(tenant, log);
  const more = Array.from({ length: 5 }, () => toolCall());
  await tenant.record(more);
  await verified(tenant, more[4]?.event_id as string);
  const { size, root } = await checkpointOf(tenant, log);
  expect([before.size, size]).toEqual([700, 705]);

  const bytes = new Map<string, Buffer>();
  const fetchTile = async (path: string): Promise<Buffer> => (await tenant.get(`${log.path}/${path}`)).bytes;
  for (const tile of tilesSince(0, size)) bytes.set(tilePath(tile), await fetchTile(tilePath(tile)));
  expect([...bytes.keys()]).toEqual(['tile/0/000', 'tile/0/001', 'tile/0/002.p/193', 'tile/1/000.p/2']);
  const node = nodesFrom(size, (tile: Tile) => bytes.get(tilePath(tile)) as Buffer);
  expect(Buffer.from(rootOf(node, size))).toEqual(Buffer.from(root));

  const bundle = await fetchTile(entriesPath(2, 193));
  const leaves: Uint8Array[] = [];
  for (let at = 0; at < bundle.length; at += 2 + bundle.readUInt16BE(at)) leaves.push(leafHash(bundle.subarray(at + 2, at + 2 + bundle.readUInt16BE(at))));
  expect(Buffer.concat(leaves)).toEqual(bytes.get('tile/0/002.p/193'));

  const answer = (await tenant.get(`${log.path}/consistency?from=700`)).json() as { from: number; to: number; hashes: string[] };
  expect(verifyConsistency(700, 705, before.root, root, answer.hashes.map((hash) => Buffer.from(hash, 'base64')))).toBe(true);
  for (const path of ['tile/0/003', 'tile/0/002.p/194', 'tile/0/0', 'tile/x', 'tile/1/000']) expect((await tenant.get(`${log.path}/${path}`)).status, path).toBe(404);
});

test('the log of another tenant is not there', async () => {
  const [one, other] = [await service.newTenant(), await service.newTenant()];
  const event = toolCall();
  await one.record([event]);
  await verified(one, event.event_id);
  const { path } = await theLog(one);
  for (const route of [`${path}/checkpoint`, `${path}/tile/0/000.p/1`, `${path}/consistency?from=0`, `/v1/events/${event.event_id}/proof`]) {
    expect((await one.get(route)).status, route).toBe(200);
    expect((await other.get(route)).status, route).toBe(404);
  }
  expect((await other.get('/v1/logs')).json()).toEqual({ logs: [] });
});

test('an event that was changed in ClickHouse is broken', async () => {
  const tenant = await service.newTenant();
  const events = [toolCall(), toolCall()];
  await tenant.record(events);
  const [a, b] = events.map(({ event_id: id }) => id) as [string, string];
  await verified(tenant, b);
  const engine = JSON.parse(await readFile(join(service.dataDir, 'engine.json'), 'utf8')) as ConstructorParameters<typeof Store>[0];
  const store = new Store(engine);
  await store.command("ALTER TABLE events UPDATE raw = replaceOne(raw, 'success', 'failure') WHERE tenant = {tenant: String} AND event_id = {id: String} SETTINGS mutations_sync = 2", { tenant: tenant.name, id: a });
  await store.close();
  expect((await eventOf(tenant, a)).proof.state).toBe('broken');
  expect((await tenant.get(`/v1/events/${a}/proof`)).json()).toMatchObject({ status: 409, code: 'proof_broken' });
  expect((await eventOf(tenant, b)).proof.state).toBe('verified');
});

test('what no checkpoint covers yet is pending, and what is in no log is not covered', async () => {
  const off = await startService({ PROOF: 'off' });
  try {
    const event = toolCall();
    const tenant = await off.newTenant();
    await tenant.record([event]);
    expect((await eventOf(tenant, event.event_id)).proof.state).toBe('not covered');
    expect((await tenant.get(`/v1/events/${event.event_id}/proof`)).status).toBe(404);
    expect((await tenant.get('/v1/logs')).json()).toEqual({ logs: [] });
  } finally {
    await off.stop();
  }
  const tenant = await service.newTenant();
  const event = toolCall();
  await tenant.record([event]);
  const { proof } = await eventOf(tenant, event.event_id);
  if (proof.state === 'pending') expect((await tenant.get(`/v1/events/${event.event_id}/proof`)).headers['retry-after']).toBe('2');
  await verified(tenant, event.event_id);
});

test('an erased event is gone, and its leaf and the reason are not', async () => {
  const tenant = await service.newTenant();
  const admin = await service.newKey({ tenant: tenant.name, scopes: ['admin'] });
  const events = Array.from({ length: 20 }, (_, i) => toolCall({ source: { emitter: 'gateway-1', sequence: i + 1 } }));
  await tenant.record(events);
  const ids = events.map(({ event_id: id }) => id);
  const [secret, last] = [ids[7], ids[19]] as [string, string];
  const erase = (event_ids: string[], key = admin): Promise<Answer> => service.post(JSON.stringify({ event_ids, reason: 'a "request"\nof one person' }), { path: '/v1/erasures', key });
  await verified(tenant, last);
  const { recorded } = await eventOf(tenant, secret);
  expect((await erase([secret], tenant.key)).status).toBe(403);
  expect((await erase([secret, last, 'nobody'])).json()).toEqual({ erased: 2, erased_before: 0, not_found: ['nobody'] });
  expect((await erase([secret])).json()).toEqual({ erased: 0, erased_before: 1, not_found: [] });
  const page = await tenant.page(`/v1/events?${EVER}`);
  expect(page.events).toHaveLength(18);
  expect(page.completeness).toMatchObject({ status: 'complete', emitters: [{ missing: [] }] });

  const gone = await tenant.get(`/v1/events/${secret}`);
  expect(gone.status).toBe(410);
  expect(gone.json()).toMatchObject({ code: 'erased', log_index: recorded.log_index, erasure: { by: expect.stringMatching(/^key:/), reason: 'a "request"\nof one person' } });

  // What is left proves that it was there, and who says that it had to go.
  const log = await theLog(tenant);
  const proof = parseTlogProof((await tenant.get(`/v1/events/${secret}/proof`)).text);
  const left = JSON.parse(Buffer.from(proof.extra as Uint8Array).toString()) as { event_id: string; received_at_us: number; digest: string; salt?: string; erasure: string };
  expect(left.salt).toBeUndefined();
  const { size, root } = openCheckpoint(proof.checkpoint, log.origin, [log.verifier]);
  const leaf = eventLeaf({ tenant: tenant.name, eventId: secret, receivedAtMicros: left.received_at_us, digest: Buffer.from(left.digest, 'base64') });
  expect(verifyInclusion(leaf, proof.index, size, proof.hashes, root)).toBe(true);
  const erasure = parseErasure(openNote(left.erasure, [log.verifier]).text);
  expect(covers(erasure, proof.index)).toBe(true);
  expect(erasure.origin).toBe(log.origin);

  // The log goes on, and the place of the last is not given again.
  const more = toolCall();
  expect((await tenant.post(JSON.stringify(more))).status).toBe(202);
  expect((await verified(tenant, more.event_id)).recorded.log_index).toBe(20);
  const bundle = (await tenant.get(`${log.path}/${entriesPath(0, 21)}`)).bytes;
  const tile = (await tenant.get(`${log.path}/tile/0/000.p/21`)).bytes;
  let place = 0;
  for (let at = 0; at < bundle.length; at += 2 + bundle.readUInt16BE(at), place++) expect(Buffer.from(leafHash(bundle.subarray(at + 2, at + 2 + bundle.readUInt16BE(at))))).toEqual(tile.subarray(32 * place, 32 * place + 32));
  expect(place).toBe(21);
});

test('a new key takes over, and both sign meanwhile', async () => {
  const tenant = await service.newTenant();
  const first = toolCall();
  await tenant.record([first]);
  await verified(tenant, first.event_id);
  const log = await theLog(tenant);
  const rotated = await service.post('', { path: '/v1/logs/rotate-key' });
  expect(rotated.status).toBe(200);
  expect((await service.post('', { path: '/v1/logs/rotate-key', key: await service.newKey({ tenant: tenant.name, scopes: ['admin'] }) })).status).toBe(403);
  const second = toolCall();
  await tenant.record([second]);
  await verified(tenant, second.event_id);
  const { logs } = (await tenant.get('/v1/logs')).json() as LogList;
  const keys = logs[0]?.keys ?? [];
  expect(keys).toHaveLength(2);
  const note = (await tenant.get(`${log.path}/checkpoint`)).text;
  for (const { verifier_key: key } of keys) expect(openCheckpoint(note, log.origin, [parseVerifier(key)]).size).toBe(2);
  const reached = verifyEndorsements(Buffer.from(keys[0]?.public_key as string, 'base64'), keys.map((key) => ({
    publicKey: Buffer.from(key.public_key, 'base64'), createdAt: key.created_at, endorsement: key.endorsement === null ? undefined : Buffer.from(key.endorsement, 'base64'),
  })));
  expect(reached).toHaveLength(2);
});
