import type { ApiKey } from '@agent-audit/queries';
import { explainIssues, formatNanos, KeyRequest, parseTime, toNanos, type KeyCreated, type KeyInfo, type KeyList, type Scope } from '@agent-audit/schemas';
import { Hono, type Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { requireScope, type AuthEnv } from './authenticate.ts';
import type { Clock } from './clock.ts';
import { OPERATOR_TENANT, type Caller, type KeyRing } from './keys.ts';
import { invalidParameter, Problem } from './problem.ts';

/** Of a request for a key, in bytes; such a request has a few hundred. */
const BODY_BYTES = 16 * 1024;

/**
 * `POST /v1/keys`, `GET /v1/keys`, `DELETE /v1/keys/{id}`. An admin manages the keys of its own tenant; one of tenant
 * `default`, which runs the service, may name another.
 */
export function keyRoutes(keys: KeyRing, clock: Clock): Hono<AuthEnv> {
  const admin = requireScope(keys, 'admin');
  const limit = bodyLimit({
    maxSize: BODY_BYTES,
    onError: () => {
      throw new Problem('body_too_large', `A request for a key has at most ${BODY_BYTES} bytes.`, { limit_bytes: BODY_BYTES }, { connection: 'close' });
    },
  });
  return new Hono<AuthEnv>()
    .post('/v1/keys', admin, limit, async (c) => {
      const request = await readKeyRequest(c);
      const tenant = tenantFor(c.get('caller'), request.tenant);
      const expiresAtUs = readExpiry(request.expires_at, clock);
      const rate = { eventsPerSecond: request.rate?.events_per_second, requestsPerSecond: request.rate?.requests_per_second };
      const { key, token } = await keys.create({ tenant, name: request.name, scopes: [...new Set(request.scopes)], expiresAtUs, rate });
      return c.json({ ...info(key), secret: token } satisfies KeyCreated, 201);
    })
    .get('/v1/keys', admin, async (c) => {
      const list = await keys.list(tenantFor(c.get('caller'), c.req.query('tenant')));
      return c.json({ keys: list.map(info) } satisfies KeyList);
    })
    .delete('/v1/keys/:id', admin, async (c) => {
      const revoked = await keys.revoke(tenantFor(c.get('caller'), c.req.query('tenant')), c.req.param('id'));
      if (revoked === undefined) throw new Problem('not_found', 'There is no key with this id.');
      return c.body(null, 204);
    });
}

/** The same answer whether the other tenant exists or not. */
function tenantFor(caller: Caller, named: string | undefined): string {
  if (named === undefined || named === caller.tenant) return caller.tenant;
  if (caller.tenant !== OPERATOR_TENANT) throw new Problem('forbidden', 'This key manages the keys of its own tenant only; leave `tenant` out.');
  return named;
}

async function readKeyRequest(c: Context): Promise<KeyRequest> {
  let value: unknown;
  try {
    value = await c.req.json();
  } catch {
    throw new Problem('malformed_json', 'The body must be a JSON object such as {"name": "gateway", "scopes": ["events:write"]}.');
  }
  const parsed = KeyRequest.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidParameter(explainIssues(parsed.error.issues, value));
}

function readExpiry(text: string | undefined, clock: Clock): bigint | undefined {
  if (text === undefined) return undefined;
  const time = parseTime(text);
  if (!time.ok) throw invalidParameter([{ path: '/expires_at', code: time.code, message: time.message }]);
  const expiresAtUs = toNanos(time) / 1000n;
  if (expiresAtUs <= clock.nowMicros()) throw invalidParameter([{ path: '/expires_at', code: 'too_small', message: 'is in the past; the key could never be used' }]);
  return expiresAtUs;
}

function info(key: Omit<ApiKey, 'version'>): KeyInfo {
  const time = (us: bigint | undefined): string | null => (us === undefined ? null : formatNanos(us * 1000n));
  return {
    id: key.keyId,
    name: key.name,
    tenant: key.tenant,
    scopes: [...key.scopes] as Scope[],
    created_at: formatNanos(key.createdAtUs * 1000n),
    expires_at: time(key.expiresAtUs),
    revoked_at: time(key.revokedAtUs),
    rate: { events_per_second: key.rate.eventsPerSecond ?? null, requests_per_second: key.rate.requestsPerSecond ?? null },
  };
}
