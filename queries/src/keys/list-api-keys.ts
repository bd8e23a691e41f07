import { z } from 'zod';
import type { Store } from '../store.ts';
import type { ApiKey } from './api-key.ts';

const SQL = `
  SELECT tenant, key_id, max(api_keys.version) AS last_version,
         argMax(name, version) AS name,
         argMax(secret_sha256, version) AS secret_sha256,
         argMax(scopes, version) AS scopes,
         toUnixTimestamp64Micro(argMax(created_at, version)) AS created_at_us,
         -- In a tuple, because argMax skips rows whose value is NULL.
         toUnixTimestamp64Micro(argMax(tuple(expires_at), version).1) AS expires_at_us,
         toUnixTimestamp64Micro(argMax(tuple(revoked_at), version).1) AS revoked_at_us,
         argMax(events_per_second, version) AS events_per_second,
         argMax(requests_per_second, version) AS requests_per_second
  FROM api_keys
  GROUP BY tenant, key_id
  ORDER BY created_at_us, key_id`;

const Row = z
  .object({
    tenant: z.string(),
    key_id: z.string(),
    last_version: z.coerce.bigint(),
    name: z.string(),
    secret_sha256: z.string(),
    scopes: z.array(z.string()),
    created_at_us: z.coerce.bigint(),
    expires_at_us: z.coerce.bigint().nullable(),
    revoked_at_us: z.coerce.bigint().nullable(),
    events_per_second: z.number(),
    requests_per_second: z.number(),
  })
  .transform((row): ApiKey => ({
    tenant: row.tenant,
    version: row.last_version,
    keyId: row.key_id,
    name: row.name,
    secretSha256: row.secret_sha256,
    scopes: row.scopes,
    createdAtUs: row.created_at_us,
    expiresAtUs: row.expires_at_us ?? undefined,
    revokedAtUs: row.revoked_at_us ?? undefined,
    rate: { eventsPerSecond: row.events_per_second || undefined, requestsPerSecond: row.requests_per_second || undefined },
  }));

/** Every key of every tenant, revoked ones too, as it stands now. For the authenticator, which serves all tenants. */
export function listApiKeys(store: Store): Promise<ApiKey[]> {
  return store.select(SQL, {}, Row);
}
