import { createHash, createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { expect, it } from 'vitest';
import { parseAnchorTargets, type AnchorTarget } from './index.ts';
import { bodyOf, FastClock, listen, TestLog } from './testing.ts';

const ACCESS_KEY = 'AKIAIOSFODNN7EXAMPLE';
const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
const hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** AWS Signature Version 4, by the words of "Authenticating Requests: Using the Authorization Header". @param path decoded @returns the header that it has to have */
function authorization(method: string, path: string, headers: IncomingHttpHeaders, body: string, region: string): string {
  const [, signed = ''] = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? '') ?? [];
  const time = String(headers['x-amz-date']);
  const encode = (text: string): string => encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const canonical = [method, path.split('/').map(encode).join('/'), '', ...signed.split(';').map((name) => `${name}:${String(headers[name]).trim()}`), '', signed, hex(body)].join('\n');
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const key = [region, 's3', 'aws4_request'].reduce((key, part) => hmac(key, part), hmac(`AWS4${SECRET}`, time.slice(0, 8)));
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${hex(canonical)}`).toString('hex');
  return `AWS4-HMAC-SHA256 Credential=${ACCESS_KEY}/${scope}, SignedHeaders=${signed}, Signature=${signature}`;
}

it('the test\'s own signature is that of AWS\'s example', () => {
  const body = 'Welcome to Amazon S3.';
  const signed = 'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class';
  expect(authorization('PUT', '/test$file.text', {
    authorization: `SignedHeaders=${signed},`, date: 'Fri, 24 May 2013 00:00:00 GMT', host: 'examplebucket.s3.amazonaws.com', 'x-amz-content-sha256': hex(body), 'x-amz-date': '20130524T000000Z', 'x-amz-storage-class': 'REDUCED_REDUNDANCY',
  }, body, 'us-east-1')).toContain('Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd');
});

const clock = new FastClock();
const target = (endpoint: string, text: string, secretAccessKey = SECRET): AnchorTarget =>
  parseAnchorTargets([text], { clock, s3: { endpoint, region: 'eu-central-1', accessKeyId: ACCESS_KEY, secretAccessKey } })[0] as AnchorTarget;

it.each([
  ['s3://bucket/a/b', 'agent-audit/acme/collector-1', 'bucket/a/b/agent-audit/acme/collector-1/0000000000000007'],
  ['s3://bucket', 'agent-audit/acme/collector-1', 'bucket/agent-audit/acme/collector-1/0000000000000007'],
  ['s3://bucket/a%20(b)\'!*$&=;:@~', 'agent audit+ž/a', 'bucket/a%20(b)\'!*$&=;:@~/agent audit+ž/a/0000000000000007'],
])('%s takes a checkpoint of %s, signed', async (text, origin, key) => {
  const objects = new Map<string, { body: string; headers: IncomingHttpHeaders }>();
  await using server = await listen(async (request, response) => {
    const body = await bodyOf(request);
    const path = decodeURIComponent(request.url as string);
    if (request.headers.authorization !== authorization(request.method as string, path, request.headers, body, 'eu-central-1')) return void response.writeHead(403).end('<Error><Code>SignatureDoesNotMatch</Code></Error>');
    objects.set(path, { body, headers: request.headers });
    response.writeHead(200).end();
  });
  const log = new TestLog('agent-audit/acme/collector-1');
  const offered = { ...log.at(7), origin };
  await target(server.url, text).anchor(offered, 0, AbortSignal.timeout(10_000));
  expect([...objects.keys()]).toEqual([`/${key}`]);
  const { body, headers } = objects.get(`/${key}`) as { body: string; headers: IncomingHttpHeaders };
  expect(body).toBe(offered.checkpoint);
  expect(headers).toMatchObject({ 'x-amz-date': '20260101T000000Z', 'content-md5': createHash('md5').update(body).digest('base64'), 'content-type': 'text/plain; charset=utf-8' });
  expect(headers.authorization).toContain('SignedHeaders=content-md5;host;x-amz-content-sha256;x-amz-date,');
  await expect(target(server.url, text, 'another').anchor(offered, 0, AbortSignal.timeout(10_000))).rejects.toMatchObject({ code: 'anchor_refused', message: expect.stringContaining('SignatureDoesNotMatch') as string });
});

it.each(['agent-audit/../collector-1', 'agent-audit/./collector-1', 'agent-audit//collector-1'])('%s is no part of a name', async (origin) => {
  await expect(target('https://127.0.0.1:1', 's3://bucket').anchor({ ...new TestLog('a').at(1), origin }, 0, AbortSignal.timeout(10_000))).rejects.toMatchObject({ code: 'anchor_setting' });
});
