import { describe, expect, it } from 'vitest';
import { EventQuery, parseEventQuery, parsePageQuery, type EventQueryResult } from './event-query.ts';

const NOW = 1_763_822_000_000_000_000n;
const parse = (text: string): EventQueryResult => parseEventQuery(new URLSearchParams(text), NOW);

describe('parseEventQuery', () => {
  it('fills in the defaults', () => {
    const result = parse('from=-15m');
    expect(result).toEqual({ ok: true, query: { from: NOW - 900_000_000_000n, to: NOW, limit: 100, order: 'asc', filters: {} } });
    expect(result.ok && EventQuery.safeParse(result.query).success).toBe(true);
  });

  it('reads or, and, not', () => {
    const result = parse('from=-1h&tool=a&tool=b&tool=a&-tool=c&outcome=denied&-action=read&limit=1000&order=asc&cursor=x');
    expect(result).toMatchObject({
      ok: true,
      query: {
        limit: 1000, order: 'asc', cursor: 'x',
        filters: { tool: { any: ['a', 'b'], none: ['c'] }, outcome: { any: ['denied'], none: [] }, action: { any: [], none: ['read'] } },
      },
    });
    expect(result.ok && EventQuery.safeParse(result.query).success).toBe(true);
  });

  it.each([
    ['', '/from', 'required'], ['from=yesterday', '/from', 'invalid_time'], ['from=-1h&to=-2h', '/from', 'too_large'], ['from=now', '/from', 'too_large'],
    ['from=1800-01-01T00:00:00Z', '/from', 'time_out_of_range'], ['from=-1h&to=x', '/to', 'invalid_time'], ['from=-1h&limit=0', '/limit', 'too_small'],
    ['from=-1h&limit=1001', '/limit', 'too_large'], ['from=-1h&limit=ten', '/limit', 'wrong_type'], ['from=-1h&limit=', '/limit', 'wrong_type'],
    ['from=-1h&order=up', '/order', 'not_allowed'], ['from=-1h&kind=x', '/kind', 'not_allowed'], ['from=-1h&-outcome=ok', '/-outcome', 'not_allowed'],
    ['from=-1h&tol=x', '/tol', 'unknown_field'], ['from=-1h&-limit=3', '/-limit', 'unknown_field'], ['from=-1h&tool=', '/tool', 'too_short'],
    ['from=-1h&from=-2h', '/from', 'duplicate_key'], ['from=-1h&cursor=', '/cursor', 'bad_format'], ['from=-1h&__proto__=1', '/__proto__', 'unknown_field'],
  ])('refuses %j', (text, path, code) => {
    const result = parse(text);
    expect(!result.ok && result.errors.map((e) => ({ path: e.path, code: e.code }))).toEqual([{ path, code }]);
  });

  it('knows what a route takes', () => {
    const params = new URLSearchParams('from=-1h&agent_id=a&q=x');
    expect(parseEventQuery(params, NOW, { without: ['agent_id'], also: ['q'] })).toMatchObject({ ok: false, errors: [{ path: '/agent_id' }] });
    expect(parseEventQuery(params, NOW, { also: ['q'] })).toMatchObject({ ok: true });
  });

  it('bounds the values of a query', () => {
    const many = new URLSearchParams([['from', '-1h'], ...Array.from({ length: 5000 }, (_, i) => ['tool', `t${i}`])]);
    expect(parseEventQuery(many, NOW)).toMatchObject({ ok: false, errors: [{ path: '/tool', code: 'too_many' }] });
  });
});

describe('parsePageQuery', () => {
  const codes = (text: string): string[] => {
    const result = parsePageQuery(new URLSearchParams(text));
    return result.ok ? [] : result.errors.map(({ path, code }) => `${path} ${code}`);
  };

  it('fills in the defaults, and takes what is right', () => {
    expect(parsePageQuery(new URLSearchParams(''))).toEqual({ ok: true, query: { limit: 100, order: 'asc' } });
    expect(parsePageQuery(new URLSearchParams('limit=7&order=desc&cursor=x'))).toEqual({ ok: true, query: { limit: 7, order: 'desc', cursor: 'x' } });
  });

  it.each([
    ['limit=1e2', '/limit wrong_type'], ['limit=', '/limit wrong_type'], ['limit=%2B5', '/limit wrong_type'], ['limit=0', '/limit too_small'], ['limit=1001', '/limit too_large'],
    ['limit=5&limit=5', '/limit duplicate_key'], ['order=up', '/order not_allowed'], ['cursor=', '/cursor bad_format'], ['from=-1h', '/from unknown_field'], ['__proto__=x', '/__proto__ unknown_field'],
  ])('%s: %s', (text, error) => {
    expect(codes(text)).toEqual([error]);
  });
});
