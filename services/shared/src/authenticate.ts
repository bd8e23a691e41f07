import type { Scope } from '@agent-audit/schemas';
import type { Context, MiddlewareHandler } from 'hono';
import type { Caller, KeyRing } from './keys.ts';
import { Problem } from './problem.ts';

export interface AuthEnv {
  Variables: { caller: Caller };
}

const CHALLENGE = { 'www-authenticate': 'Bearer realm="agent-audit"' };

/**
 * Lets a request through that carries a live key with the scope; `c.get('caller')` says whose it is.
 *
 * @throws Problem `unauthenticated` (401), `forbidden` (403) or `rate_limited` (429)
 */
export function requireScope(keys: KeyRing, scope: Scope): MiddlewareHandler<AuthEnv> {
  return async (c, next) => {
    const caller = await keys.authenticate(bearerToken(c));
    if (caller === undefined) throw new Problem('unauthenticated', 'This key is not known, has expired or was revoked.', {}, CHALLENGE);
    if (!caller.scopes.has(scope)) throw new Problem('forbidden', `This key lacks the scope \`${scope}\`, which this request needs.`);
    keys.rates.request(caller);
    c.set('caller', caller);
    await next();
  };
}

/** RFC 6750 section 2.1; the scheme's name is case-insensitive (RFC 9110 section 11.1). */
function bearerToken(c: Context): string {
  const header = c.req.header('authorization');
  if (header === undefined) throw new Problem('unauthenticated', 'Every request needs a key: send `Authorization: Bearer <key>`.', {}, CHALLENGE);
  const match = /^bearer +([\x21-\x7e]{1,512})$/i.exec(header.trim());
  if (match === null) throw new Problem('unauthenticated', 'The Authorization header must be `Bearer <key>`.', {}, CHALLENGE);
  return match[1] as string;
}
