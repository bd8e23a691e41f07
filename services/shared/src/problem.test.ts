import { StoreError } from '@agent-audit/queries';
import { Hono } from 'hono';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { notFound, Problem, problemHandler } from './problem.ts';

describe('Problem', () => {
  it('answers as RFC 9457 says', async () => {
    const response = new Problem('malformed_json', 'Line 3 is broken.', { line: 3, offset: 17 }, { 'retry-after': '2' }).toResponse();
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await response.json()).toEqual({ type: 'about:blank', title: 'malformed json', status: 400, code: 'malformed_json', detail: 'Line 3 is broken.', line: 3, offset: 17 });
  });

  it.each([
    ['empty_body', 400], ['unauthenticated', 401], ['forbidden', 403], ['not_found', 404], ['method_not_allowed', 405], ['conflict', 409], ['body_too_large', 413],
    ['unsupported_media_type', 415], ['unsupported_encoding', 415], ['internal_error', 500], ['unavailable', 503],
  ] as const)('%s is %i', (code, status) => {
    expect(new Problem(code, 'x').status).toBe(status);
  });

  it('notFound', async () => {
    expect(notFound().status).toBe(404);
    expect(await notFound().json()).toMatchObject({ code: 'not_found' });
  });
});

describe('problemHandler', () => {
  async function answer(error: Error): Promise<{ response: Response; lines: string[] }> {
    const lines: string[] = [];
    const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
    const app = new Hono().get('/x', () => { throw error; });
    app.onError(problemHandler(log));
    return { response: await app.request('/x?secret=parameter'), lines };
  }

  it('says a problem as it is, and logs nothing', async () => {
    const { response, lines } = await answer(new Problem('conflict', 'Twice.'));
    expect(response.status).toBe(409);
    expect(lines).toEqual([]);
  });

  it('says 503 where the store did not answer', async () => {
    const { response, lines } = await answer(new StoreError('socket hang up', undefined));
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ code: 'unavailable' });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('"level":40');
  });

  it.each([new StoreError('ClickHouse: UNKNOWN_TABLE: secret-table', 60), new TypeError('secret of the code')])('says 500 and no more for %s, which is in the log', async (error) => {
    const { response, lines } = await answer(error);
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).not.toContain('secret');
    expect(lines.join('')).toContain('secret');
    expect(lines.join('')).not.toContain('parameter');
  });
});
