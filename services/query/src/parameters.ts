import { explainIssues, LIMIT_DEFAULT, LIMIT_MAX, parseEventQuery, type EventQuery, type QueryOptions } from '@agent-audit/schemas';
import { invalidParameter, type Clock } from '@agent-audit/shared';
import type { Context } from 'hono';
import { z } from 'zod';

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

const Page = z.strictObject({
  limit: z.coerce.number({ error: 'must be a whole number from 1 to 1000' }).int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT),
  order: z.enum(['asc', 'desc']).default('asc'),
  cursor: z.string().min(1).max(4096).optional(),
});

/** The parameters of a list that has no window. @throws Problem `invalid_parameter` naming each that is wrong */
export function readPage(c: Context): z.infer<typeof Page> {
  const given = Object.fromEntries(new URL(c.req.url).searchParams);
  const parsed = Page.safeParse(given);
  if (parsed.success) return parsed.data;
  throw invalidParameter(explainIssues(parsed.error.issues, given));
}
