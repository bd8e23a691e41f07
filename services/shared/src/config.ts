import { LIMITS } from '@agent-audit/schemas';
import { z } from 'zod';

const PREFIX = 'AGENT_AUDIT_';

const digits = z.string().regex(/^\d{1,15}$/, 'must be a whole number').transform(Number);
const port = digits.pipe(z.number().max(65_535));
const size = digits.pipe(z.number().min(1));

/** Every setting: its type, default and what it is for. `docs/configuration.md` says the same for people. */
const Settings = z.object({
  HOST: z.string().min(1).default('127.0.0.1').describe('Address on which the API listens'),
  PORT: port.default(8080).describe('Port on which the API listens; 0 picks a free one'),
  DATA_DIR: z.string().min(1).default('./data').describe('Folder for everything that must last'),
  CLICKHOUSE_URL: z.url({ protocol: /^https?$/ }).optional().describe('A ClickHouse server; unset: the embedded engine'),
  CLICKHOUSE_USER: z.string().min(1).default('default').describe('User at that server'),
  CLICKHOUSE_PASSWORD: z.string().default('').describe('Password at that server'),
  CLICKHOUSE_DATABASE: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'must be a plain identifier').default('agent_audit').describe('Database, created where it is missing'),
  ADMIN_KEY: z.string().regex(/^[\x21-\x7e]{32,256}$/, 'must be 32 to 256 printable ASCII characters without spaces').optional()
    .describe('First key of tenant `default`, all scopes; unset: made at first start and printed once'),
  COLLECTOR_ID: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 . _ -').optional()
    .describe('Name of this collector in the record; unset: made at first start and kept in the data folder'),
  SEGMENTS_MAX_BYTES: size.default(32 * 1024 ** 3).describe('Disk space for events that are not in ClickHouse yet; when it is used up, events are refused with 503'),
  DISK_RESERVE_BYTES: digits.default(1024 ** 3).describe('Free disk space that these events leave to others; when less is free, events are refused with 503'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info').describe('Least level that is logged'),
  MAX_EVENT_BYTES: size.default(LIMITS.eventBytes).describe('Largest event, in bytes of JSON'),
  MAX_BODY_BYTES: size.default(LIMITS.bodyBytes).describe('Largest request body, in bytes after decompression'),
  MAX_NESTING: size.default(LIMITS.nesting).describe('Deepest nesting of objects and arrays in an event'),
  MAX_BODIES_BYTES: size.default(256 * 1024 * 1024).describe('Most bytes of request bodies in memory at one time; beyond it, 503'),
  RATE_EVENTS_PER_SECOND: size.optional().describe('Events that one key may send a second, on average; unset: no limit'),
  RATE_REQUESTS_PER_SECOND: size.optional().describe('Requests that one key may send a second, on average; unset: no limit'),
  HTTP_HEADERS_TIMEOUT_MS: size.default(10_000).describe('Time in which the headers of a request must have arrived'),
  HTTP_REQUEST_TIMEOUT_MS: size.default(60_000).describe('Time in which a whole request must have arrived'),
  HTTP_WRITE_TIMEOUT_MS: size.default(30_000).describe('Time after which a client that takes nothing of its answer is cut'),
  HTTP_KEEP_ALIVE_TIMEOUT_MS: size.default(65_000).describe('Time that a connection may rest between two requests'),
  HTTP_MAX_CONNECTIONS: size.default(4096).describe('Most connections at one time; further ones are closed at once'),
  QUARANTINE_MAX_BYTES: size.default(1024 ** 3).describe('Most bytes of refused events on disk; beyond it the oldest are dropped, and counted'),
  QUARANTINE_MAX_DAYS: size.default(184).describe('Days that refused events are kept'),
});

export type Config = Readonly<z.infer<typeof Settings>>;

/** Every setting with its variable, default and sentence, for documentation and tests. */
export function describeSettings(): { variable: string; default: unknown; description: string }[] {
  return Object.entries(Settings.shape).map(([name, schema]) => {
    const parsed = schema.safeParse(undefined);
    return { variable: PREFIX + name, default: parsed.success ? parsed.data : undefined, description: schema.description ?? '' };
  });
}

/** The environment does not describe a service that can run. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads `AGENT_AUDIT_*`. A variable set to the empty string counts as unset.
 *
 * @throws ConfigError naming every variable that is wrong or unknown, never their values
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given: Record<string, string> = {};
  const wrong: string[] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith(PREFIX) || value === undefined || value === '') continue;
    const name = variable.slice(PREFIX.length);
    if (CLIENT_ONLY.has(name)) continue;
    if (Object.hasOwn(Settings.shape, name)) given[name] = value;
    else wrong.push(`${variable} is not a setting of this version`);
  }
  const parsed = Settings.safeParse(given);
  if (!parsed.success) for (const issue of parsed.error.issues) wrong.push(`${PREFIX}${issue.path.join('.')}: ${issue.message}`);
  if (wrong.length > 0) throw new ConfigError(`The configuration cannot be used:\n${wrong.map((line) => `  - ${line}`).join('\n')}\nAll settings are listed in docs/configuration.md.`);
  return parsed.data as Config;
}

/** Read by the command line client and by tests; set in the same shell as the service they do no harm. */
const CLIENT_ONLY = new Set(['URL', 'KEY', 'REAL_DATA']);
