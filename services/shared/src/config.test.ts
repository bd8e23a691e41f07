import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ConfigError, describeSettings, readConfig } from './config.ts';

function refusal(env: Record<string, string>): string {
  try {
    readConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  throw new Error('the configuration was taken');
}

describe('readConfig', () => {
  it('has a default for everything that a service needs', () => {
    expect(readConfig({})).toEqual({
      HOST: '127.0.0.1', PORT: 8080, DATA_DIR: './data', CLICKHOUSE_USER: 'default', CLICKHOUSE_PASSWORD: '', CLICKHOUSE_DATABASE: 'agent_audit', LOG_LEVEL: 'info',
      MAX_EVENT_BYTES: 262_144, MAX_BODY_BYTES: 16_777_216, MAX_NESTING: 64,
      SEGMENTS_MAX_BYTES: 32 * 1024 ** 3, DISK_RESERVE_BYTES: 1024 ** 3, MAX_BODIES_BYTES: 268_435_456, HTTP_HEADERS_TIMEOUT_MS: 10_000, HTTP_REQUEST_TIMEOUT_MS: 60_000, HTTP_WRITE_TIMEOUT_MS: 30_000, HTTP_KEEP_ALIVE_TIMEOUT_MS: 65_000,
      HTTP_MAX_CONNECTIONS: 4096,
      QUARANTINE_MAX_BYTES: 1_073_741_824, QUARANTINE_MAX_DAYS: 184,
      BUFFER: 'disk', KAFKA_TOPIC: ['agent-audit.events'], KAFKA_GROUP: 'agent-audit', KAFKA_CLIENT_ID: 'agent-audit', KAFKA_TLS: false,
      PROOF: 'on', LOG_NAME: 'agent-audit', LOG_KEY_OVERLAP_DAYS: 30, ANCHOR_INTERVAL_SECONDS: 60, ANCHOR_S3_REGION: 'us-east-1',
    });
  });

  it('reads what is set, as the type of each setting', () => {
    expect(readConfig({ AGENT_AUDIT_PORT: '0', AGENT_AUDIT_HOST: '::1', AGENT_AUDIT_MAX_NESTING: '8', AGENT_AUDIT_CLICKHOUSE_URL: 'https://ch:8443', AGENT_AUDIT_ADMIN_KEY: 'k'.repeat(32), AGENT_AUDIT_COLLECTOR_ID: 'c-1', PATH: '/bin' })).toMatchObject({
      PORT: 0, HOST: '::1', MAX_NESTING: 8, CLICKHOUSE_URL: 'https://ch:8443', ADMIN_KEY: 'k'.repeat(32), COLLECTOR_ID: 'c-1',
    });
  });

  it('reads brokers and topics as lists', () => {
    expect(readConfig({ AGENT_AUDIT_KAFKA_BROKERS: 'a:9092, b.example:9093,[::1]:9094', AGENT_AUDIT_KAFKA_TOPIC: 'acme.events,other.events', AGENT_AUDIT_KAFKA_TENANT: 'topic:{tenant}.events' })).toMatchObject({
      KAFKA_BROKERS: ['a:9092', 'b.example:9093', '[::1]:9094'], KAFKA_TOPIC: ['acme.events', 'other.events'], KAFKA_TENANT: 'topic:{tenant}.events',
    });
  });

  it.each<[Record<string, string>, string]>([
    [{ KAFKA_SASL_MECHANISM: 'plain', KAFKA_USERNAME: 'u' }, 'KAFKA_SASL_MECHANISM needs AGENT_AUDIT_KAFKA_PASSWORD'],
    [{ KAFKA_USERNAME: 'u' }, 'KAFKA_USERNAME needs AGENT_AUDIT_KAFKA_SASL_MECHANISM'],
    [{ KAFKA_TLS: 'true', KAFKA_TLS_CERT_FILE: 'c' }, 'KAFKA_TLS_CERT_FILE needs AGENT_AUDIT_KAFKA_TLS_KEY_FILE'],
    [{ KAFKA_TLS_CA_FILE: 'c' }, 'KAFKA_TLS_CA_FILE needs AGENT_AUDIT_KAFKA_TLS=true'],
    [{ BUFFER: 'kafka' }, 'BUFFER=kafka needs AGENT_AUDIT_KAFKA_BROKERS'],
    [{ BUFFER: 'kafka', KAFKA_BROKERS: 'a:1', KAFKA_TENANT: 'fixed:acme' }, 'BUFFER=kafka needs AGENT_AUDIT_KAFKA_TENANT=header:agent-audit-tenant'],
    [{ BUFFER: 'kafka', KAFKA_BROKERS: 'a:1', KAFKA_TOPIC: 'a,b' }, 'BUFFER=kafka writes to one topic'],
    [{ LOG_SIGN_COMMAND: 'sign' }, 'LOG_SIGN_COMMAND needs AGENT_AUDIT_LOG_PUBLIC_KEY'],
    [{ LOG_PUBLIC_KEY: `${'A'.repeat(43)}=` }, 'LOG_PUBLIC_KEY needs AGENT_AUDIT_LOG_SIGN_COMMAND'],
    [{ ANCHOR_S3_ACCESS_KEY_ID: 'a' }, 'ANCHOR_S3_ACCESS_KEY_ID needs AGENT_AUDIT_ANCHOR_S3_SECRET_ACCESS_KEY'],
    [{ ANCHORS: 'file:/a,s3://b/c' }, 'ANCHORS with s3:// needs AGENT_AUDIT_ANCHOR_S3_ACCESS_KEY_ID'],
  ])('says of %j what is wrong together', (settings, message) => {
    expect(refusal(Object.fromEntries(Object.entries(settings).map(([name, value]) => [`AGENT_AUDIT_${name}`, value])))).toContain(message);
  });

  it('takes the empty text for unset', () => {
    expect(readConfig({ AGENT_AUDIT_PORT: '', AGENT_AUDIT_ADMIN_KEY: '', AGENT_AUDIT_UNKNOWN: '' })).toEqual(readConfig({}));
  });

  it.each([
    ['PORT', '65536'], ['PORT', '-1'], ['PORT', '80.5'], ['PORT', 'http'], ['MAX_EVENT_BYTES', '0'], ['MAX_BODY_BYTES', '16MiB'], ['MAX_NESTING', 'NaN'],
    ['CLICKHOUSE_URL', 'localhost:8123'], ['CLICKHOUSE_URL', 'ftp://host'], ['CLICKHOUSE_DATABASE', 'a-b'], ['CLICKHOUSE_DATABASE', '1a'],
    ['ADMIN_KEY', 'too-short-a-secret'], ['ADMIN_KEY', `${'secret'.repeat(6)} with space`], ['ADMIN_KEY', 'ž'.repeat(40)], ['COLLECTOR_ID', 'a b'], ['COLLECTOR_ID', 'a/b'], ['LOG_LEVEL', 'verbose'],
    ['BUFFER', 'memory'], ['KAFKA_BROKERS', 'kafka'], ['KAFKA_BROKERS', 'a:9092,,b:9092'], ['KAFKA_TOPIC', 'a topic'], ['KAFKA_TLS', 'yes'], ['KAFKA_SASL_MECHANISM', 'oauthbearer'],
    ['KAFKA_TENANT', 'acme'], ['KAFKA_TENANT', 'fixed:a b'], ['KAFKA_TENANT', 'topic:events'], ['KAFKA_TENANT', 'owner:x'],
    ['LOG_PUBLIC_KEY', 'AAAA'], ['LOG_KEY_FILE', 'a,,b'], ['LOG_KEY_OVERLAP_DAYS', 'P30D'], ['ANCHORS', 'ftp://host'], ['ANCHORS', 'https://host/secret,host'], ['ANCHORS', 'file:relative'], ['ANCHOR_INTERVAL_SECONDS', '0'], ['ANCHOR_S3_ENDPOINT', 'minio:9000'], ['ANCHOR_S3_REGION', 'eu west'],
  ])('names %s, and keeps %j to itself', (name, value) => {
    const message = refusal({ [`AGENT_AUDIT_${name}`]: value });
    expect(message).toContain(`AGENT_AUDIT_${name}`);
    // Numbers may be part of the limit that is named.
    if (!/^-?[0-9.]+$/.test(value) && value !== 'NaN') expect(message).not.toContain(value);
  });

  it('names all that is wrong at once', () => {
    const message = refusal({ AGENT_AUDIT_PORT: 'x', AGENT_AUDIT_LOG_LEVEL: 'loud', AGENT_AUDIT_PROT: '8080' });
    expect(message).toContain('AGENT_AUDIT_PORT');
    expect(message).toContain('AGENT_AUDIT_LOG_LEVEL');
    expect(message).toContain('AGENT_AUDIT_PROT is not a setting of this version');
    expect(message).not.toContain('8080');
  });

  it.each(['AGENT_AUDIT_NOPE', 'AGENT_AUDIT_port', 'AGENT_AUDIT_', 'AGENT_AUDIT_constructor', 'AGENT_AUDIT_toString', 'AGENT_AUDIT___proto__'])('refuses %s, which no version knows', (variable) => {
    expect(refusal({ [variable]: 'x' })).toContain(`${variable} is not a setting`);
  });

  it('leaves alone what only the command line client reads', () => {
    expect(readConfig({ AGENT_AUDIT_URL: 'http://x', AGENT_AUDIT_KEY: 'secret' })).toEqual(readConfig({}));
  });

  // Number('  ') is 0, and '0x1F90' a number, too: what looks like a slip starts the service on another port.
  it.each(['  ', '0x1F90', '8e3'])('refuses %j as a port', (value) => {
    refusal({ AGENT_AUDIT_PORT: value });
  });
});

describe('describeSettings', () => {
  it('has a sentence for every setting, and the defaults that are used', () => {
    const settings = describeSettings();
    for (const { variable, description } of settings) {
      expect(variable).toMatch(/^AGENT_AUDIT_[A-Z][A-Z0-9_]+$/);
      expect(description).not.toBe('');
    }
    const defaults = Object.fromEntries(settings.filter((setting) => setting.default !== undefined).map((setting) => [setting.variable.slice('AGENT_AUDIT_'.length), setting.default]));
    expect(defaults).toEqual(readConfig({}));
  });

  it('is what docs/configuration.md says', async () => {
    const text = await readFile(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| `(AGENT_AUDIT_\w+)` \| (\S.*?) \|/gm)].map(([, name, value]) => [name, value]);
    const shown = (value: unknown): string => (value === undefined ? 'unset' : value === '' ? 'empty' : `\`${String(value)}\``);
    expect(rows).toEqual(describeSettings().map((setting) => [setting.variable, shown(setting.default)]));
  });
});
