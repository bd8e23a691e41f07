import { parseEventQuery, parsePageQuery, type EventQuery, type PageQuery, type QueryOptions } from '@agent-audit/schemas';
import { invalidParameter, type Clock } from '@agent-audit/shared';
import type { Context } from 'hono';

/** The parameters of a list route. @throws Problem `invalid_parameter` naming each that is wrong */
export function readQuery(c: Context, clock: Clock, options: QueryOptions = {}): { query: EventQuery; text: URLSearchParams } {
  const text = new URL(c.req.url).searchParams;
  const parsed = parseEventQuery(text, clock.nowMicros() * 1000n, options);
  if (!parsed.ok) throw invalidParameter(parsed.errors);
  return { query: parsed.query, text };
}

/** The parts of a list's question that stay the same from page to page. */
export function questionOf(tenant: string, route: string, query: EventQuery, text: URLSearchParams): unknown {
  return [tenant, route, text.get('from'), text.get('to'), query.order, query.filters];
}

/** A parameter of a closed set, given at most once; undefined where it is not given. @throws Problem `invalid_parameter` */
export function oneOf<Value extends string>(text: URLSearchParams, name: string, values: readonly Value[]): Value | undefined {
  const [given, ...more] = text.getAll(name);
  if (given === undefined) return undefined;
  if (more.length > 0) throw invalidParameter([{ path: `/${name}`, code: 'duplicate_key', message: 'must be given once' }]);
  const value = values.find((candidate) => candidate === given);
  if (value === undefined) throw invalidParameter([{ path: `/${name}`, code: 'not_allowed', message: `must be one of ${values.join(', ')}` }]);
  return value;
}

/** The parameters of a list that has no window. @throws Problem `invalid_parameter` naming each that is wrong */
export function readPage(c: Context): PageQuery {
  const parsed = parsePageQuery(new URL(c.req.url).searchParams);
  if (!parsed.ok) throw invalidParameter(parsed.errors);
  return parsed.query;
}

/** A whole number, given at most once; undefined where it is not given. @throws Problem `invalid_parameter` */
export function readCount(c: Context, name: string): number | undefined {
  const [given, ...more] = new URL(c.req.url).searchParams.getAll(name);
  if (given === undefined) return undefined;
  if (more.length > 0) throw invalidParameter([{ path: `/${name}`, code: 'duplicate_key', message: 'must be given once' }]);
  if (!/^\d{1,15}$/.test(given)) throw invalidParameter([{ path: `/${name}`, code: 'not_allowed', message: 'must be a whole number' }]);
  return Number(given);
}
