/**
 * Query parameters of the event lists: window, page and filters. A filter repeated means *or*, different
 * filters mean *and*, and a leading `-` means *not* (`tool=read&tool=write&-outcome=success`).
 */
import { z } from 'zod';
import { FILTER_VALUES } from './api.ts';
import { pointerToken, type FieldError } from './errors.ts';
import { LENGTHS, MAX_FIELD_ERRORS } from './limits.ts';
import { suggest } from './suggest.ts';
import { parseMoment } from './time.ts';

export const FILTERS = [
  'agent_id', 'kind', 'tool', 'server', 'action', 'outcome', 'principal', 'session_id', 'trace_id',
  'resource', 'resource_prefix', 'classification', 'destination',
] as const;
export type FilterName = (typeof FILTERS)[number];

const Filter = z.strictObject({ any: z.array(z.string()), none: z.array(z.string()) });
export type Filter = z.infer<typeof Filter>;

/** A checked query. `from` and `to` are nanoseconds since the epoch, the window is [from, to). */
export const EventQuery = z.strictObject({
  from: z.bigint(),
  to: z.bigint(),
  limit: z.int().min(1).max(1000),
  order: z.enum(['asc', 'desc']),
  cursor: z.string().optional(),
  filters: z.partialRecord(z.enum(FILTERS), Filter),
});
export type EventQuery = z.infer<typeof EventQuery>;

export const LIMIT_DEFAULT = 100;
export const LIMIT_MAX = 1000;
/** Values of all filters together: a query is asked by a person or a rule, not generated without bound. */
const MAX_VALUES = 1000;

const PAGE = ['limit', 'order', 'cursor'] as const;
const WINDOW = ['from', 'to'] as const;
const OWN = [...WINDOW, ...PAGE] as const;

export type EventQueryResult = { readonly ok: true; readonly query: EventQuery } | { readonly ok: false; readonly errors: readonly FieldError[] };

export interface QueryOptions {
  /** Filters that this route does not take, such as `agent_id` where it is in the path. */
  readonly without?: readonly FilterName[];
  /** The route answers with a window as a whole: no `limit`, `order`, `cursor`, and filters that cannot be negated. */
  readonly whole?: boolean;
  /** Further parameters that the route reads itself. */
  readonly also?: readonly string[];
}

/**
 * Reads the parameters of a list. `nowNs` is the moment that `now` and relative times are counted from.
 * `from` is required; `to` defaults to now, `order` to `asc`, `limit` to 100.
 */
export function parseEventQuery(params: URLSearchParams, nowNs: bigint, options: QueryOptions = {}): EventQueryResult {
  const errors: FieldError[] = [];
  const add = (name: string, code: FieldError['code'], message: string): void => {
    if (errors.length < MAX_FIELD_ERRORS) errors.push({ path: `/${pointerToken(name)}`, code, message });
  };
  const filterNames = FILTERS.filter((name) => !options.without?.includes(name));
  const own: readonly string[] = options.whole === true ? WINDOW : OWN;
  const known: readonly string[] = [...own, ...filterNames, ...(options.also ?? [])];
  const filters: Partial<Record<FilterName, Filter>> = {};
  let values = 0;

  for (const [name, value] of params) {
    const negated = name.startsWith('-');
    const plain = negated ? name.slice(1) : name;
    if (!value.isWellFormed()) {
      add(name, 'invalid_unicode', 'holds a lone surrogate');
    } else if ((filterNames as readonly string[]).includes(plain) && !(negated && options.whole === true)) {
      const allowed = FILTER_VALUES[plain];
      if (value === '') add(name, 'too_short', 'must not be empty; leave the parameter out to match everything');
      else if (value.length > LENGTHS.uri) add(name, 'too_long', `must have at most ${LENGTHS.uri} characters`);
      else if (allowed && !allowed.includes(value)) add(name, 'not_allowed', `must be one of ${allowed.join(', ')}`);
      else if (++values > MAX_VALUES) {
        add(name, 'too_many', `a query takes at most ${MAX_VALUES} filter values in all`);
        break;
      } else {
        const filter = (filters[plain as FilterName] ??= { any: [], none: [] });
        const list = negated ? filter.none : filter.any;
        if (!list.includes(value)) list.push(value);
      }
    } else if (negated && known.includes(plain)) {
      add(name, 'unknown_field', `\`${plain}\` cannot be negated${options.whole === true ? '' : '; only filters can'}`);
    } else if (known.includes(plain)) {
      if (params.getAll(plain).length > 1 && own.includes(plain)) {
        if (!errors.some((e) => e.path === `/${plain}`)) add(plain, 'duplicate_key', 'must be given once');
      }
    } else {
      const meant = suggest(plain, known);
      add(name, 'unknown_field', `unknown parameter${meant ? `; did you mean \`${meant}\`?` : ''}`);
    }
  }

  const window = readWindow(params, nowNs, add);
  const page = readPage(params, add);
  if (errors.length > 0 || !window) return { ok: false, errors };
  return { ok: true, query: { ...window, ...page, filters } };
}

/** The part of a list's query that says which page. */
export type PageQuery = Pick<EventQuery, 'limit' | 'order' | 'cursor'>;

export type PageQueryResult = { readonly ok: true; readonly query: PageQuery } | { readonly ok: false; readonly errors: readonly FieldError[] };

/** Reads the parameters of a list that has neither window nor filters. */
export function parsePageQuery(params: URLSearchParams): PageQueryResult {
  const errors: FieldError[] = [];
  const add: Add = (name, code, message) => void (errors.length < MAX_FIELD_ERRORS && errors.push({ path: `/${pointerToken(name)}`, code, message }));
  for (const name of new Set(params.keys())) {
    const meant = suggest(name, PAGE);
    if (!(PAGE as readonly string[]).includes(name)) add(name, 'unknown_field', `unknown parameter${meant ? `; did you mean \`${meant}\`?` : ''}`);
    else if (params.getAll(name).length > 1) add(name, 'duplicate_key', 'must be given once');
  }
  const query = readPage(params, add);
  return errors.length > 0 ? { ok: false, errors } : { ok: true, query };
}

/** Of no use where `add` was called. */
function readPage(params: URLSearchParams, add: Add): PageQuery {
  const limitText = params.get('limit');
  const limit = limitText === null ? LIMIT_DEFAULT : /^-?\d{1,15}$/.test(limitText) ? Number(limitText) : Number.NaN;
  if (Number.isNaN(limit)) add('limit', 'wrong_type', `must be a whole number from 1 to ${LIMIT_MAX}`);
  else if (limit < 1) add('limit', 'too_small', `must be 1 to ${LIMIT_MAX}`);
  else if (limit > LIMIT_MAX) add('limit', 'too_large', `must be 1 to ${LIMIT_MAX}; read on with \`cursor\``);
  const order = params.get('order') ?? 'asc';
  if (order !== 'asc' && order !== 'desc') add('order', 'not_allowed', 'must be asc or desc');
  const cursor = params.get('cursor');
  if (cursor !== null && (cursor === '' || cursor.length > 4096)) add('cursor', 'bad_format', 'is not a cursor of an earlier answer');
  return { limit, order: order as 'asc' | 'desc', ...(cursor === null ? {} : { cursor }) };
}

type Add = (name: string, code: FieldError['code'], message: string) => void;

function readWindow(params: URLSearchParams, nowNs: bigint, add: Add): { from: bigint; to: bigint } | undefined {
  const fromText = params.get('from');
  if (fromText === null || fromText === '') {
    add('from', 'required', 'is required: where the window begins, such as -24h or 2026-11-22T00:00:00Z');
    return undefined;
  }
  const from = parseMoment(fromText, nowNs);
  const to = parseMoment(params.get('to') ?? 'now', nowNs);
  if (!from.ok) add('from', from.code, from.message);
  if (!to.ok) add('to', to.code, to.message);
  if (!from.ok || !to.ok) return undefined;
  if (from.ns >= to.ns) {
    add('from', 'too_large', 'must be before `to`; the window is [from, to), so equal ends hold nothing');
    return undefined;
  }
  return { from: from.ns, to: to.ns };
}
