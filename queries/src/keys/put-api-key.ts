import type { Store } from '../store.ts';
import type { ApiKey } from './api-key.ts';

const SQL = `
  INSERT INTO api_keys (tenant, key_id, version, name, secret_sha256, scopes, created_at, expires_at, revoked_at, events_per_second, requests_per_second)
  SELECT {tenant: String}, {key_id: String}, {version: UInt64}, {name: String}, {secret_sha256: String}, {scopes: Array(String)},
         fromUnixTimestamp64Micro({created_at_us: Int64}),
         if({expires_at_us: Int64} = 0, NULL, fromUnixTimestamp64Micro({expires_at_us: Int64})),
         if({revoked_at_us: Int64} = 0, NULL, fromUnixTimestamp64Micro({revoked_at_us: Int64})),
         {events_per_second: UInt32}, {requests_per_second: UInt32}`;

/** Records a key's new state. Resolves once it is on disk. @param version must be above that of the state before */
export function putApiKey(store: Store, key: Omit<ApiKey, 'version'>, version: bigint): Promise<void> {
  return store.command(SQL, {
    tenant: key.tenant,
    key_id: key.keyId,
    version,
    name: key.name,
    secret_sha256: key.secretSha256,
    scopes: key.scopes,
    created_at_us: key.createdAtUs,
    expires_at_us: key.expiresAtUs ?? 0n,
    revoked_at_us: key.revokedAtUs ?? 0n,
    events_per_second: key.rate.eventsPerSecond ?? 0,
    requests_per_second: key.rate.requestsPerSecond ?? 0,
  });
}
