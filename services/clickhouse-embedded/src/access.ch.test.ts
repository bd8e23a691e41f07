import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { ClickHouseError } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { USERNAME } from './engine-config.ts';
import { startTestEngine, type TestEngine } from './testing.ts';

let ch: TestEngine;
beforeAll(async () => {
  ch = await startTestEngine();
});
afterAll(() => ch[Symbol.asyncDispose]());

interface Answer {
  status: number | undefined;
  code: string | string[] | undefined;
  body: string;
}

/** `headers` as name, value, name, value...: a name may come twice. */
const get = (path: string, headers: string[] = []): Promise<Answer> =>
  new Promise((resolve, reject) => {
    request(`${ch.engine.url}${path}`, { headers: ['host', 'localhost', ...headers], agent: false }, async (response) =>
      resolve({ status: response.statusCode, code: response.headers['x-clickhouse-exception-code'], body: await text(response) }),
    )
      .on('error', reject)
      .end();
  });

const basic = (user: string, password: string): string => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

test('/ping needs no credentials', async () => {
  expect(await get('/ping')).toMatchObject({ status: 200, body: 'Ok.\n' });
});

test('Basic auth and ClickHouse headers let in', async () => {
  const { username, password } = ch.engine;
  expect(await get('/?query=SELECT%20currentUser()', ['authorization', basic(username, password)])).toMatchObject({ body: `${USERNAME}\n` });
  expect(await get('/?query=SELECT%201', ['x-clickhouse-user', username, 'x-clickhouse-key', password])).toMatchObject({ body: '1\n' });
});

describe('refused with code 516', () => {
  const refused: [string, () => string[], string?][] = [
    ['no credentials', () => []],
    ['a wrong password', () => ['authorization', basic(USERNAME, 'wrong')]],
    ['an empty password', () => ['authorization', basic(USERNAME, '')]],
    ['the right password and more', () => ['authorization', basic(USERNAME, `${ch.engine.password}x`)]],
    ['a wrong key', () => ['x-clickhouse-user', USERNAME, 'x-clickhouse-key', 'wrong']],
    ['no key', () => ['x-clickhouse-user', USERNAME]],
    ["the engine's own user", () => ['authorization', basic('default', '')]],
    ["the engine's own user, in ClickHouse's header", () => ['x-clickhouse-user', 'default']],
    ["the engine's own user, in the URL", () => [], '&user=default'],
    ['a longer user name', () => ['authorization', basic(`${USERNAME}2`, '')]],
    ['a bearer token', () => ['authorization', 'Bearer abc']],
    ['the right credentials in the URL, where logs would keep them', () => [], `&user=${USERNAME}&password=PASSWORD`],
    ['the header of two users', () => ['x-clickhouse-user', USERNAME, 'x-clickhouse-user', 'default']],
    ['Basic auth of two users', () => ['authorization', basic(USERNAME, 'x'), 'authorization', basic('default', '')]],
    ['Basic auth of one user and the header of another', () => ['authorization', basic(USERNAME, 'wrong'), 'x-clickhouse-user', 'default']],
    ['the header of one user and the URL of another', () => ['x-clickhouse-user', USERNAME, 'x-clickhouse-key', 'wrong'], '&user=default&password='],
  ];
  test.each(refused)('%s', async (_name, headers, url = '') => {
    const answer = await get(`/?query=SELECT%201${url.replace('PASSWORD', ch.engine.password)}`, headers());
    expect(answer).toMatchObject({ status: 403, code: '516' });
    expect(answer.body).toMatch(/^Code: 516\. DB::Exception: .* \(AUTHENTICATION_FAILED\)/su);
  });
});

test.each(['&user=default', '&user=default&password=', '&user=default&password=x', '&%75s%65r=default'])(
  "nor does a URL with %s get in as the engine's own user, which has no password",
  async (url) => {
    for (const password of ['wrong', ch.engine.password]) {
      const answer = await get(`/?query=SELECT%20currentUser()${url}`, ['authorization', basic(USERNAME, password)]);
      expect(answer).toMatchObject({ status: 401, code: '194' });
      expect(answer.body).toMatch(/^Code: 194\. DB::Exception: .* \(REQUIRED_PASSWORD\)/su);
    }
  },
);

test('the official client sees AUTHENTICATION_FAILED', async () => {
  for (const config of [{ password: 'wrong' }, { username: 'default', password: '' }, { username: 'nobody', password: 'x' }]) {
    const refusal = await ch.connect(config).query({ query: 'SELECT 1' }).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ClickHouseError);
    expect(refusal).toMatchObject({ code: '516', type: 'AUTHENTICATION_FAILED' });
  }
});

test('users and roles cannot be made, and the answer says so', async () => {
  await expect(ch.connect().command({ query: "CREATE USER eve IDENTIFIED BY 'x'" })).rejects.toMatchObject({
    code: '514',
    type: 'ACCESS_STORAGE_FOR_INSERTION_NOT_FOUND',
  });
});
