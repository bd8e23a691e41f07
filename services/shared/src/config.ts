import { LIMITS } from '@agent-audit/schemas';
import { z } from 'zod';

const PREFIX = 'AGENT_AUDIT_';

const digits = z.string().regex(/^\d{1,15}$/, 'must be a whole number').transform(Number);
const port = digits.pipe(z.number().max(65_535));
const size = digits.pipe(z.number().min(1));
const file = z.string().min(1);
const onOff = z.enum(['true', 'false']).transform((text) => text === 'true');
/** Kafka's own rule for names of topics. */
const TOPIC = /^[A-Za-z0-9._-]{1,249}$/;
const list = (item: RegExp, message: string) =>
  z.string().transform((text) => text.split(',').map((part) => part.trim())).pipe(z.array(z.string().regex(item, message)).min(1));

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
  BUFFER: z.enum(['disk', 'kafka']).default('disk').describe('Where events that came over HTTP are made durable before they are acknowledged'),
  KAFKA_BROKERS: list(/^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):\d{1,5}$/, 'must be host:port, several separated by commas').optional()
    .describe('Kafka brokers to start from, `host:port`, separated by commas; unset: no Kafka'),
  KAFKA_TOPIC: list(TOPIC, 'must be names of topics, separated by commas').default(['agent-audit.events']).describe('Topics that events are read from, separated by commas'),
  KAFKA_GROUP: z.string().min(1).max(255).default('agent-audit').describe('Consumer group; several services with one group share the partitions'),
  KAFKA_CLIENT_ID: z.string().min(1).max(255).default('agent-audit').describe('Name under which the brokers know this client'),
  KAFKA_TENANT: z.string().regex(/^(?:fixed:[A-Za-z0-9._-]{1,128}|header:.{1,255}|topic:[A-Za-z0-9._-]*\{tenant\}[A-Za-z0-9._-]*)$/, 'must be fixed:<tenant>, header:<name> or topic:<name with {tenant} in it>')
    .optional().describe('Whose a message is: `fixed:<tenant>`, `header:<name of the header that says it>`, or `topic:<name of the topics with {tenant} in it>`'),
  KAFKA_TLS: onOff.default(false).describe('Whether the brokers are spoken to over TLS: `true` or `false`'),
  KAFKA_TLS_CA_FILE: file.optional().describe('PEM file with the authorities that may vouch for a broker; unset: those that Node.js knows'),
  KAFKA_TLS_CERT_FILE: file.optional().describe('PEM file with the certificate of this client'),
  KAFKA_TLS_KEY_FILE: file.optional().describe('PEM file with the key of that certificate'),
  KAFKA_SASL_MECHANISM: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).optional().describe('How this client says who it is; unset: it does not'),
  KAFKA_USERNAME: z.string().min(1).optional().describe('User for SASL'),
  KAFKA_PASSWORD: z.string().min(1).optional().describe('Password for SASL'),
  PROOF: z.enum(['on', 'off']).default('on').describe('Whether recorded events are put into logs that prove them: `on` or `off`'),
  LOG_NAME: z.string().regex(/^[A-Za-z0-9._~-]+(?:\/[A-Za-z0-9._~-]+)*$/, 'must be like audit.example.com').default('agent-audit').describe('What the names of the logs begin with: a name of yours, such as a host or URL without its scheme. It is in every checkpoint and must not change'),
  LOG_KEY_FILE: list(/./, 'must be names of files, separated by commas').optional().describe('Files with the Ed25519 keys that sign the logs, oldest first, separated by commas; unset: one is made and kept in the data folder'),
  LOG_SIGN_COMMAND: z.string().min(1).optional().describe('Command that signs the logs: gets the text on standard input, prints base64 of the signature'),
  LOG_PUBLIC_KEY: z.string().regex(/^[A-Za-z0-9+/]{43}=$|^[A-Za-z0-9+/]{59}=$/, 'must be base64 of an Ed25519 public key, of its 32 bytes or of its DER').optional().describe('The key with which that command signs'),
  LOG_KEY_OVERLAP_DAYS: digits.pipe(z.number().max(3650)).default(30).describe('Days that a key goes on signing beside the one that took over'),
  ANCHORS: list(/^(?:file:\/|https?:\/\/|insecure\+http:\/\/|s3:\/\/|witness:)/, 'must begin with file:/, https://, s3:// or witness:').optional()
    .describe('Where checkpoints of the logs are kept outside of this host, separated by commas'),
  ANCHOR_INTERVAL_SECONDS: size.default(60).describe('Least time between two checkpoints of one log at one such place'),
  ANCHOR_WEBHOOK_SECRET: z.string().min(1).optional().describe('Secret with which what is sent to a webhook is signed (HMAC-SHA256)'),
  ANCHOR_S3_ENDPOINT: z.string().regex(/^(?:https?|insecure\+http):\/\/[^/]/, 'must begin with https://').optional().describe('An S3-compatible server; unset: AWS'),
  ANCHOR_S3_REGION: z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'must be the name of a region').default('us-east-1').describe('Region of the buckets'),
  ANCHOR_S3_ACCESS_KEY_ID: z.string().min(1).optional().describe('Access key for the buckets'),
  ANCHOR_S3_SECRET_ACCESS_KEY: z.string().min(1).optional().describe('Its secret'),
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
  else wrong.push(...contradictions(parsed.data));
  if (wrong.length > 0) throw new ConfigError(`The configuration cannot be used:\n${wrong.map((line) => `  - ${line}`).join('\n')}\nAll settings are listed in docs/configuration.md.`);
  return parsed.data as Config;
}

/** Settings that are right by themselves and wrong together. */
function contradictions(config: Config): string[] {
  const wrong: string[] = [];
  const needs = (name: keyof Config, ...others: (keyof Config)[]): void => {
    for (const other of others) if (config[name] !== undefined && config[other] === undefined) wrong.push(`${PREFIX}${name} needs ${PREFIX}${other}`);
  };
  needs('KAFKA_SASL_MECHANISM', 'KAFKA_USERNAME', 'KAFKA_PASSWORD');
  needs('KAFKA_USERNAME', 'KAFKA_SASL_MECHANISM');
  needs('KAFKA_TLS_CERT_FILE', 'KAFKA_TLS_KEY_FILE');
  needs('KAFKA_TLS_KEY_FILE', 'KAFKA_TLS_CERT_FILE');
  if (!config.KAFKA_TLS) {
    for (const name of ['KAFKA_TLS_CA_FILE', 'KAFKA_TLS_CERT_FILE'] as const) if (config[name] !== undefined) wrong.push(`${PREFIX}${name} needs ${PREFIX}KAFKA_TLS=true`);
  }
  needs('LOG_SIGN_COMMAND', 'LOG_PUBLIC_KEY');
  needs('LOG_PUBLIC_KEY', 'LOG_SIGN_COMMAND');
  needs('ANCHOR_S3_ACCESS_KEY_ID', 'ANCHOR_S3_SECRET_ACCESS_KEY');
  needs('ANCHOR_S3_SECRET_ACCESS_KEY', 'ANCHOR_S3_ACCESS_KEY_ID');
  if (config.ANCHORS?.some((anchor) => anchor.startsWith('s3:')) === true && config.ANCHOR_S3_ACCESS_KEY_ID === undefined) wrong.push(`${PREFIX}ANCHORS with s3:// needs ${PREFIX}ANCHOR_S3_ACCESS_KEY_ID`);
  if (config.BUFFER === 'kafka') {
    if (config.KAFKA_BROKERS === undefined) wrong.push(`${PREFIX}BUFFER=kafka needs ${PREFIX}KAFKA_BROKERS`);
    // Read any other way, one tenant's events would become another's.
    if (config.KAFKA_TENANT !== undefined && config.KAFKA_TENANT !== `header:${TENANT_HEADER}`) wrong.push(`${PREFIX}BUFFER=kafka needs ${PREFIX}KAFKA_TENANT=header:${TENANT_HEADER}, or unset`);
    if (config.KAFKA_TOPIC.length > 1) wrong.push(`${PREFIX}BUFFER=kafka writes to one topic; ${PREFIX}KAFKA_TOPIC names several`);
  }
  return wrong;
}

/** The header that says whose a message is, where this service wrote it (`AGENT_AUDIT_BUFFER=kafka`). */
export const TENANT_HEADER = 'agent-audit-tenant';

/** Read by the command line client and by tests; set in the same shell as the service they do no harm. */
const CLIENT_ONLY = new Set(['URL', 'KEY', 'REAL_DATA']);
