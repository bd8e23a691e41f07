import { hash, randomBytes } from 'node:crypto';
import { listApiKeys, putApiKey, type ApiKey, type Store } from '@agent-audit/queries';
import type { Scope } from '@agent-audit/schemas';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import { RateLimiter, UNLIMITED, type KeyRate } from './rate-limiter.ts';

/** Whom a request comes from. The tenant of everything it reads or writes is this one. */
export interface Caller {
  readonly tenant: string;
  readonly keyId: string;
  readonly scopes: ReadonlySet<Scope>;
  /** How fast it may be, where that differs from the service's default. */
  readonly rate?: KeyRate | undefined;
}

export interface NewKey {
  readonly tenant: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly expiresAtUs?: bigint | undefined;
  readonly rate?: KeyRate | undefined;
}

/** The tenant whose admins run the service and may make keys for others. */
export const OPERATOR_TENANT = 'default';

const ADMIN_KEY_ID = 'admin';
const ALL_SCOPES: readonly Scope[] = ['events:write', 'events:read', 'exports', 'rules', 'admin'];
/** How old the list of keys may be: what was revoked at another process stops working here after that. */
const REFRESH_MS = 5_000;

/**
 * The API keys of all tenants. A token is 256 random bits; only its SHA-256 is kept, and a request's token
 * is found by that digest, so no comparison depends on the secret itself.
 */
export class KeyRing {
  /** How fast each key is. */
  readonly rates: RateLimiter;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  #byDigest = new Map<string, ApiKey>();
  #keys: ApiKey[] = [];
  #readAt = -Infinity;
  #reading: Promise<void> | undefined;

  /** @param rate of keys for which nothing else was agreed */
  constructor(store: Store, clock: Clock, log: Log, rate: KeyRate = UNLIMITED) {
    this.rates = new RateLimiter(clock, rate);
    this.#log = log;
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * Makes sure that tenant `default` has a key with every scope.
   *
   * @param given the token to use; without it one is made if no key was ever made
   * @returns the token, only when it was made now: the one time that anybody can read it
   */
  async ensureAdminKey(given: string | undefined): Promise<string | undefined> {
    await this.#read();
    const current = this.#keys.find((key) => key.tenant === OPERATOR_TENANT && key.keyId === ADMIN_KEY_ID);
    if (given === undefined && current !== undefined) return undefined;
    const token = given ?? newToken();
    if (current !== undefined && current.secretSha256 === digest(token) && current.revokedAtUs === undefined) return undefined;
    await this.#put({
      tenant: OPERATOR_TENANT,
      keyId: ADMIN_KEY_ID,
      name: 'First key',
      secretSha256: digest(token),
      scopes: ALL_SCOPES,
      createdAtUs: this.#clock.nowMicros(),
      expiresAtUs: undefined,
      revokedAtUs: undefined,
      rate: UNLIMITED,
    });
    return given === undefined ? token : undefined;
  }

  /** Who holds this token; undefined when nobody does, or the key has expired or was revoked. */
  async authenticate(token: string): Promise<Caller | undefined> {
    await this.#refresh();
    const key = this.#byDigest.get(digest(token));
    if (key === undefined || !isLive(key, this.#clock.nowMicros())) return undefined;
    return { tenant: key.tenant, keyId: key.keyId, scopes: new Set(key.scopes as Scope[]), rate: (key.rate.eventsPerSecond ?? key.rate.requestsPerSecond) === undefined ? undefined : key.rate };
  }

  /** @returns the key and its token, which cannot be read again */
  async create({ tenant, name, scopes, expiresAtUs, rate = UNLIMITED }: NewKey): Promise<{ key: Omit<ApiKey, 'version'>; token: string }> {
    const token = newToken();
    const key = {
      tenant,
      keyId: `key_${randomBytes(9).toString('base64url')}`,
      name,
      secretSha256: digest(token),
      scopes,
      createdAtUs: this.#clock.nowMicros(),
      expiresAtUs,
      revokedAtUs: undefined,
      rate,
    };
    await this.#put(key);
    return { key, token };
  }

  /** Keys of one tenant, revoked ones too, oldest first. */
  async list(tenant: string): Promise<ApiKey[]> {
    await this.#read();
    return this.#keys.filter((key) => key.tenant === tenant);
  }

  /** Ends a key's life now and for good; undefined when the tenant has no such key. */
  async revoke(tenant: string, keyId: string): Promise<Omit<ApiKey, 'version'> | undefined> {
    await this.#read();
    const key = this.#keys.find((candidate) => candidate.tenant === tenant && candidate.keyId === keyId);
    if (key === undefined || key.revokedAtUs !== undefined) return key;
    const revoked = { ...key, revokedAtUs: this.#clock.nowMicros() };
    await this.#put(revoked);
    return revoked;
  }

  async #put(key: Omit<ApiKey, 'version'>): Promise<void> {
    const before = this.#keys.find((candidate) => candidate.tenant === key.tenant && candidate.keyId === key.keyId)?.version ?? 0n;
    const now = this.#clock.nowMicros();
    // Above the version before, whatever the clock says: a revocation must never lose to what it revokes.
    await putApiKey(this.#store, key, now > before ? now : before + 1n);
    // A reading that began before the write may not have seen it.
    await this.#reading?.catch(() => undefined);
    await this.#read();
  }

  /** Keeps serving the list it has while the store is away. */
  async #refresh(): Promise<void> {
    if (this.#clock.monotonicMs() - this.#readAt < REFRESH_MS) return;
    const reading = this.#read();
    if (this.#readAt === -Infinity) await reading;
    else reading.catch((error: unknown) => this.#log.warn({ err: error }, 'could not refresh the keys; the list at hand stays in use'));
  }

  #read(): Promise<void> {
    this.#reading ??= (async () => {
      try {
        this.#keys = await listApiKeys(this.#store);
        this.#byDigest = new Map(this.#keys.map((key) => [key.secretSha256, key]));
        this.#readAt = this.#clock.monotonicMs();
      } finally {
        this.#reading = undefined;
      }
    })();
    return this.#reading;
  }
}

/** Whether a key may be used at `nowUs`, microseconds since the Unix epoch. */
export function isLive(key: ApiKey, nowUs: bigint): boolean {
  return key.revokedAtUs === undefined && (key.expiresAtUs === undefined || key.expiresAtUs > nowUs);
}

const digest = (token: string): string => hash('sha256', token, 'hex');

const newToken = (): string => `aa_${randomBytes(32).toString('base64url')}`;
