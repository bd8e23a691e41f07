import { expect, test } from 'vitest';
import { serverConfig, sqlString, startupSql, USERNAME, usersConfig } from './engine-config.ts';

const config = { enginePath: '/data/a&b <c>', backupsPath: '/backups', usersFile: '/run/"users".xml', port: 0, maxMemoryBytes: 4_000_000_000, gatePort: 1 };

test('the beginning of a Basic auth header tells the user', () => {
  for (const password of ['', 'x', 'xy', 'xyz', '\u00e9\u{1f511}']) {
    const header = `Basic ${Buffer.from(`${USERNAME}:${password}`).toString('base64')}`;
    const rule = /<Authorization>regex:(?<pattern>[^<]+)</u.exec(serverConfig(config))?.groups?.pattern ?? '';
    expect(header).toMatch(new RegExp(rule, 'u'));
  }
});

test('paths are escaped', () => {
  expect(serverConfig(config)).toContain('<path>/data/a&amp;b &lt;c&gt;/</path>');
  expect(serverConfig(config)).toContain('/run/&quot;users&quot;.xml');
  expect(sqlString(String.raw`it's a \ path`)).toBe(String.raw`'it\'s a \\ path'`);
  expect(startupSql("/it's")).toContain(String.raw`INTO OUTFILE '/it\'s'`);
});

test('only loopback is listened on, and memory is bounded', () => {
  expect(serverConfig(config).match(/<listen_host>/gu)).toHaveLength(1);
  expect(serverConfig(config)).toContain('<listen_host>127.0.0.1</listen_host>');
  expect(serverConfig(config)).toContain('<max_server_memory_usage>4000000000</max_server_memory_usage>');
});

test('the users file holds the hash it was given', () => {
  expect(usersConfig('ab12')).toContain('<password_sha256_hex>ab12</password_sha256_hex>');
});
