import { LIMIT_MAX } from '@agent-audit/schemas';
import { readList, type ListAnswer } from './answer.ts';
import { notOurs, type Client, type Params } from './client.ts';

export interface PageOptions {
  /** Most items in all; undefined: every one. */
  readonly limit: number | undefined;
  readonly cursor: string | undefined;
}

/**
 * Reads a list page by page. The last page's `nextCursor` is where to read on when the limit was reached before the end.
 *
 * @throws CliError when the server does not answer with a list
 */
export async function* pages(
  client: Client, path: string, member: 'events' | 'agents' | 'entries', params: Params, { limit, cursor }: PageOptions,
): AsyncGenerator<ListAnswer> {
  let left = limit ?? Number.POSITIVE_INFINITY;
  let next = cursor;
  for (;;) {
    const size = Math.min(left, LIMIT_MAX);
    const answer = await client.ask(path, { params: [...params, ['limit', String(size)], ...(next === undefined ? [] : [['cursor', next] as const])] });
    const page = readList(answer, member);
    if (page === undefined) throw notOurs(client.url);
    yield page;
    left -= page.items.length;
    if (page.nextCursor === null || left <= 0) return;
    next = page.nextCursor;
  }
}
