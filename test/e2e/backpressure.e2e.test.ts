/** What a client gets that is too fast, too slow or too large for the moment. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ndjson, toolCall } from '../support/events.ts';
import type { Answer } from '../support/http.ts';
import { lines, startService, type TestService } from '../support/service.ts';
import { speak } from '../support/socket.ts';
import { until } from '../support/until.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService({
    RATE_EVENTS_PER_SECOND: '10', RATE_REQUESTS_PER_SECOND: '1000', MAX_BODIES_BYTES: '20000', HTTP_HEADERS_TIMEOUT_MS: '1000', HTTP_REQUEST_TIMEOUT_MS: '3000', HTTP_MAX_CONNECTIONS: '100',
  });
});
afterAll(() => service.stop());

function expectRefused(answer: Answer, status: number, code: string): number {
  expect({ status: answer.status, code: answer.json().code }).toEqual({ status, code });
  expect(answer.headers['content-type']).toContain('application/problem+json');
  expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
  return Number(answer.headers['retry-after']);
}

describe('a key that is too fast', () => {
  test('events: 429, nothing of them is recorded, and after Retry-After they are taken', async () => {
    const tenant = await service.newTenant();
    // More than the five seconds' worth that a bucket holds.
    const first = Array.from({ length: 55 }, () => toolCall());
    expect((await tenant.post(...lines(first))).json()).toMatchObject({ accepted: 55 });
    const [next, bad] = [toolCall(), '{"event_id":"bad"}'];
    const seconds = expectRefused(await tenant.post(...lines([next, bad])), 429, 'rate_limited');
    expectRefused(await tenant.post(`{"Records":[{}]}`, { path: '/v1/import/cloudtrail' }), 429, 'rate_limited');
    expect((await tenant.everything()).length).toBe(55);
    expect((await tenant.completeness('/v1/events?from=-1h')).quarantined).toBe(0);
    await sleep(seconds * 1000);
    expect((await tenant.post(...lines([next, bad]))).json()).toMatchObject({ accepted: 1, rejected: [{}] });
  });

  test('requests, with a rate of its own', async () => {
    const made = await service.post(JSON.stringify({ name: 'slow', tenant: 'slow', scopes: ['events:read'], rate: { requests_per_second: 1 } }), { path: '/v1/keys' });
    expect(made.json()).toMatchObject({ rate: { events_per_second: null, requests_per_second: 1 } });
    const { secret } = made.json() as { secret: string };
    const answers = await Promise.all(Array.from({ length: 8 }, () => service.get('/v1/agents', secret)));
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    for (const answer of refused) expectRefused(answer, 429, 'rate_limited');
    // Nobody else is slower for it.
    expect((await service.get('/v1/agents')).status).toBe(200);
    expect((await service.get('/metrics')).text).toMatch(/^agent_audit_requests_refused_total{status="429"} [1-9]/m);
    const wrong = await service.post(JSON.stringify({ name: 'x', scopes: ['admin'], rate: { requests_per_second: 0 } }), { path: '/v1/keys' });
    expect(wrong.json()).toMatchObject({ code: 'invalid_parameter', errors: [{ path: '/rate/requests_per_second' }] });
  });
});

const head = (key: string, length: number): string => `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;

test('bodies beyond the budget: 503 while others are being read, 202 afterwards', async () => {
  const key = await service.newKey({ tenant: 'bodies' });
  const big = JSON.stringify(toolCall({ tool: { name: 't', arguments: { text: 'x'.repeat(15_000) } } }));
  const { hostname, port } = new URL(service.url);
  const slow = connect({ host: hostname, port: Number(port) });
  let heard = '';
  slow.on('data', (chunk: Buffer) => void (heard += chunk.toString('latin1')));
  slow.write(head(key, big.length).replace('Host', 'Expect: 100-continue\r\nHost'));
  // Then its body is being waited for.
  await until(() => heard, (text) => text.startsWith('HTTP/1.1 100 Continue'));
  const other = JSON.stringify(toolCall({ tool: { name: 't', arguments: { text: 'x'.repeat(10_000) } } }));
  expectRefused(await service.post(other, { key }), 503, 'unavailable');
  expect((await service.post(JSON.stringify(toolCall()), { key })).status).toBe(202);
  slow.write(big);
  await until(() => heard, (text) => text.includes('HTTP/1.1 202'));
  slow.destroy();
  expect((await service.post(other, { key })).status).toBe(202);
});

test('slow headers and slow bodies are cut, idle connections too, and the service goes on', async () => {
  const key = await service.newKey({ tenant: 'slow-ones' });
  const quiet = { end: false, quietMs: 10_000 };
  const answers = await Promise.all([
    speak(service.url, 'POST /v1/events HTTP/1.1\r\nHost: x\r\n', quiet),
    speak(service.url, `${head(key, 1000)}{"event_id"`, quiet),
    ...Array.from({ length: 50 }, () => speak(service.url, '', quiet)),
  ]);
  expect(answers.slice(0, 2).map((answer) => answer.slice(0, 12))).toEqual(['HTTP/1.1 408', 'HTTP/1.1 408']);
  expect((await service.post(ndjson([toolCall()]), { key, type: 'application/x-ndjson' })).status).toBe(202);
});
