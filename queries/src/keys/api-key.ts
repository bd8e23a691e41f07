/** An API key as it stands now. The bearer token itself is known to nobody but its holder. */
export interface ApiKey {
  readonly tenant: string;
  /** Microseconds since the Unix epoch, from which this state holds; rises with every change. */
  readonly version: bigint;
  readonly keyId: string;
  readonly name: string;
  /** SHA-256 of the whole token, lower-case hex. */
  readonly secretSha256: string;
  readonly scopes: readonly string[];
  readonly createdAtUs: bigint;
  readonly expiresAtUs: bigint | undefined;
  readonly revokedAtUs: bigint | undefined;
  /** How fast it may be; undefined: the service's default. */
  readonly rate: { readonly eventsPerSecond: number | undefined; readonly requestsPerSecond: number | undefined };
}
