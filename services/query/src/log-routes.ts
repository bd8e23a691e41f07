import { readLogRows, tombstonesIn, type Tombstone } from '@agent-audit/queries';
import type { Consistency, LogInfo, LogList } from '@agent-audit/schemas';
import { OPERATOR_TENANT, Problem, requireScope, type AuthEnv } from '@agent-audit/shared';
import { consistencyProof, eventEntry, eventsOf, hashesAt, LogKeyError, MISSING_ENTRY, nodesIn, parseTilePath, readTile, saltedDigest, TILE_WIDTH, verifierKey, type Checkpoint, type LogView } from '@agent-audit/tlog';
import { Hono, type Context } from 'hono';
import type { QueryDeps } from './deps.ts';
import { readCount } from './parameters.ts';
import type { Proofs } from './proofs.ts';

type SignedLog = LogView & { readonly note: string; readonly checkpoint: Checkpoint };

/** A tile never changes: what it is named after says all that is in it. */
const FOR_EVER = 'private, max-age=31536000, immutable';

/** The logs of the caller's tenant in the C2SP tlog-tiles layout. */
export function logRoutes(deps: QueryDeps): Hono<AuthEnv> {
  const mayRead = requireScope(deps.keys, 'events:read');
  return new Hono<AuthEnv>()
    .get('/v1/logs', mayRead, (c) => {
      const { proofs } = deps;
      return c.json({ logs: proofs === undefined ? [] : proofs.logs.viewsOf(c.get('caller').tenant).map((view) => infoOf(proofs, view)) } satisfies LogList);
    })
    .post('/v1/logs/rotate-key', requireScope(deps.keys, 'admin'), async (c) => {
      const { proofs } = deps;
      const { tenant } = c.get('caller');
      if (tenant !== OPERATOR_TENANT) throw new Problem('forbidden', 'The key signs the logs of all tenants; it is for keys of the operator.');
      if (proofs === undefined) throw new Problem('conflict', 'Proofs are switched off.');
      try {
        await proofs.keys.rotate();
        await proofs.logs.signAgain();
      } catch (error) {
        if (error instanceof LogKeyError) throw new Problem('conflict', error.message);
        throw error;
      }
      return c.json({ logs: proofs.logs.viewsOf(tenant).map((view) => infoOf(proofs, view)) } satisfies LogList);
    })
    .get('/v1/logs/:tenant/:collector_id/checkpoint', mayRead, (c) =>
      c.body(signedBy(deps, find(deps, c)), 200, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' }))
    .get('/v1/logs/:tenant/:collector_id/consistency', mayRead, (c) => {
      const { tenant, collectorId, folder, checkpoint } = find(deps, c);
      const from = readCount(c, 'from') ?? 0;
      const to = readCount(c, 'to') ?? checkpoint.size;
      if (from > to || to > checkpoint.size) throw new Problem('invalid_parameter', `from and to must hold 0 <= from <= to <= ${checkpoint.size}, the entries that the last checkpoint covers.`);
      const hashes = consistencyProof(nodesIn(folder, to), from, to).map((hash) => Buffer.from(hash).toString('base64'));
      return c.json({ log_id: `${tenant}/${collectorId}`, from, to, hashes } satisfies Consistency);
    })
    .get('/v1/logs/:tenant/:collector_id/tile/*', mayRead, async (c) => {
      const log = find(deps, c);
      const path = new URL(c.req.url).pathname;
      const tile = parseTilePath(path.slice(path.indexOf('/tile/') + 1));
      const has = tile === undefined ? 0 : hashesAt(tile.level === 'entries' ? 0 : tile.level, log.checkpoint.size) - tile.index * TILE_WIDTH;
      if (tile === undefined || has < tile.width) throw new Problem('not_found', `The log of ${log.checkpoint.size} entries has no such tile.`);
      const { level } = tile;
      const bytes = level === 'entries' ? await entries(deps, log, tile.index * TILE_WIDTH, tile.width) : readTile(log.folder, { ...tile, level });
      return c.body(new Uint8Array(bytes), 200, { 'content-type': 'application/octet-stream', 'cache-control': FOR_EVER });
    });
}

/** With the signatures of witnesses that have seen this very checkpoint. */
function signedBy({ proofs }: QueryDeps, { note, origin, checkpoint }: SignedLog): string {
  return note + (proofs?.cosignatures(origin, checkpoint.size) ?? []).join('');
}

/** @throws Problem `not_found`, also for the log of another tenant: it tells nobody that there is one */
function find({ proofs }: QueryDeps, c: Context<AuthEnv>): SignedLog {
  const { tenant, collector_id: collectorId = '' } = c.req.param() as { tenant: string; collector_id: string };
  const view = tenant === c.get('caller').tenant ? proofs?.logs.viewsOf(tenant).find((one) => one.collectorId === collectorId) : undefined;
  if (view === undefined) throw new Problem('not_found', 'There is no such log here.');
  const { note, checkpoint } = view;
  if (note === undefined || checkpoint === undefined) throw new Problem('not_found', 'The log has no checkpoint yet; ask again in a few seconds.');
  return { ...view, note, checkpoint };
}

function infoOf({ keys }: Proofs, view: LogView): LogInfo {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    log_id: `${view.tenant}/${view.collectorId}`,
    origin: view.origin,
    ...(view.broken === undefined ? { state: 'open' } : { state: 'broken', detail: view.broken }),
    size: view.checkpoint?.size ?? 0,
    root: view.checkpoint === undefined ? null : base64(view.checkpoint.root),
    keys: keys.list().map(({ publicKey, createdAt, retiresAt, endorsement }) => ({
      verifier_key: verifierKey(view.origin, publicKey),
      public_key: base64(publicKey),
      created_at: createdAt,
      retires_at: retiresAt ?? null,
      endorsement: endorsement === undefined ? null : base64(endorsement),
    })),
  };
}

/** C2SP tlog-tiles, entry bundles: each entry with its length in front, 16 bits, big-endian. */
async function entries({ store }: QueryDeps, { tenant, collectorId, salts }: SignedLog, from: number, count: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const erased = new Map((await tombstonesIn(store, tenant, collectorId, from, from + count)).map((tombstone) => [tombstone.log_index, tombstone]));
  for await (const rows of readLogRows(store, tenant, collectorId, from, from + count)) {
    for (const { index, event } of eventsOf(rows)) {
      const left = erased.get(index);
      const entry = event === undefined ? (left === undefined ? MISSING_ENTRY : entryOfErased(left)) : eventEntry({ tenant, ...event, digest: saltedDigest(salts.from(index), event.raw) });
      const length = Buffer.alloc(2);
      length.writeUInt16BE(entry.length);
      parts.push(length, entry);
    }
  }
  return Buffer.concat(parts);
}

function entryOfErased({ tenant, event_id: eventId, received_at_us: receivedAtUs, digest_hex: digest }: Tombstone): Buffer {
  return eventEntry({ tenant, eventId, receivedAtMicros: Number(receivedAtUs), digest: Buffer.from(digest, 'hex') });
}
