import { verifyTLogInclusion } from '@sigstore/verify/dist/tlog/index.js';
import type { LogList } from '@agent-audit/schemas';
import { eventEntry, parseTlogProof, parseVerifier, publicKeyOf, saltedDigest, type TlogProof } from '@agent-audit/tlog';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toolCall } from '../support/events.ts';
import { memberText } from '../support/raw-json.ts';
import { startService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';

let service: TestService;
let keys: LogList['logs'][number]['keys'];
let origin: string;
/** Places of the log, at its edges and within. */
const proven: { place: number; proof: TlogProof; entry: Buffer }[] = [];

beforeAll(async () => {
  service = await startService();
  const tenant = await service.newTenant();
  const events = Array.from({ length: 300 }, () => toolCall());
  await tenant.record(events);
  const state = async (): Promise<string> => ((await tenant.get(`/v1/events/${events[299]?.event_id}`)).json() as { proof: { state: string } }).proof.state;
  await until(state, (one) => one === 'verified');
  [{ keys, origin }] = ((await tenant.get('/v1/logs')).json() as LogList).logs as [LogList['logs'][number]];
  for (const place of [0, 1, 137, 255, 256, 298, 299]) {
    const id = events[place]?.event_id as string;
    const proof = parseTlogProof((await tenant.get(`/v1/events/${id}/proof`)).text);
    const raw = memberText((await tenant.get(`/v1/events/${id}`)).text, 'event') as string;
    const said = JSON.parse(Buffer.from(proof.extra as Uint8Array).toString()) as { received_at_us: number; salt: string };
    const entry = eventEntry({ tenant: tenant.name, eventId: id, receivedAtMicros: said.received_at_us, digest: saltedDigest(Buffer.from(said.salt, 'base64'), Buffer.from(raw)) });
    proven.push({ place, proof, entry });
  }
});
afterAll(() => service.stop());

/** As a client of Sigstore verifies that an entry is in its log. @throws VerificationError */
function verify({ proof, entry }: { proof: TlogProof; entry: Buffer }, change: { index?: number; hashes?: readonly Uint8Array[]; checkpoint?: string } = {}): void {
  const [key] = keys as [(typeof keys)[number]];
  const logID = Buffer.alloc(4);
  logID.writeUInt32BE(parseVerifier(key.verifier_key).keyId);
  const { index, hashes, checkpoint } = { ...proof, ...change };
  verifyTLogInclusion(
    {
      logIndex: String(index), logId: { keyId: logID }, kindVersion: { kind: '', version: '' }, integratedTime: '0', inclusionPromise: undefined, canonicalizedBody: entry,
      inclusionProof: { logIndex: String(index), treeSize: '0', rootHash: Buffer.alloc(0), hashes: hashes.map((hash) => Buffer.from(hash)), checkpoint: { envelope: checkpoint } },
    },
    [{ logID, baseURL: `https://${origin}`, publicKey: publicKeyOf(Buffer.from(key.public_key, 'base64')), validFor: { start: new Date(0), end: new Date() } }],
  );
}

test('sigstore-js accepts inclusion proofs and their checkpoint', () => {
  for (const one of proven) expect(() => verify(one), `entry ${one.place}`).not.toThrow();
});

test('sigstore-js refuses them for another entry, place, hash or checkpoint', () => {
  const otherRoot = 'calculated root hash does not match inclusion proof';
  for (const one of proven) {
    const { proof: { index, hashes, checkpoint }, entry, place } = one;
    expect(() => verify({ ...one, entry: Buffer.concat([entry, Buffer.of(0)]) }), `entry ${place}`).toThrow(otherRoot);
    expect(() => verify(one, { index: index ^ 1 }), `entry ${place}`).toThrow(otherRoot);
    for (const [i, hash] of hashes.entries()) {
      const flipped = Buffer.from(hash);
      flipped[i] = (flipped[i] as number) ^ 1;
      expect(() => verify(one, { hashes: hashes.with(i, flipped) }), `entry ${place}, hash ${i}`).toThrow(otherRoot);
    }
    expect(() => verify(one, { checkpoint: checkpoint.replace('\n300\n', '\n301\n') }), `entry ${place}`).toThrow('invalid checkpoint signature');
  }
});
