import type { AuditEvent, Completeness, Recorded } from '@agent-audit/schemas';
import { EVER, ndjson } from './events.ts';
import type { Answer } from './http.ts';
import { elementTexts, memberText } from './raw-json.ts';
import type { PostOptions, ServiceClient } from './service.ts';
import { until } from './until.ts';

/** One event of an answer. */
export interface Shown {
  readonly event: AuditEvent;
  /** The very text of the event in the answer. */
  readonly raw: string;
  readonly recorded: Recorded;
}

export interface Page {
  readonly events: readonly Shown[];
  readonly next_cursor: string | null;
  readonly completeness: Completeness;
}

/** One tenant with a key that may write and read. */
export class Tenant {
  readonly service: ServiceClient;
  readonly name: string;
  readonly key: string;
  readonly #recorded = new Set<string>();

  constructor(service: ServiceClient, name: string, key: string) {
    this.service = service;
    this.name = name;
    this.key = key;
  }

  get(path: string): Promise<Answer> {
    return this.service.get(path, this.key);
  }

  post(body: string | Uint8Array, options: PostOptions = {}): Promise<Answer> {
    return this.service.post(body, { key: this.key, ...options });
  }

  /** Records events that are new, and resolves when they can be found. */
  async record(events: readonly (AuditEvent | string)[]): Promise<void> {
    const answer = await this.post(ndjson(events), { type: 'application/x-ndjson' });
    if (answer.status !== 202 || (answer.json() as { accepted: number }).accepted !== events.length) {
      throw new Error(`not all of ${events.length} events were accepted: ${answer.status} ${answer.text.slice(0, 1000)}`);
    }
    await this.visible(events.map((event) => (typeof event === 'string' ? (JSON.parse(event) as AuditEvent) : event)));
  }

  /** Resolves when what was acknowledged can be found: durable comes first, a moment may pass until it is shown. */
  async visible(events: readonly AuditEvent[]): Promise<void> {
    for (const { agent, event_id } of events) this.#recorded.add(`${agent.id}\n${event_id}`);
    const count = async (): Promise<number> => (await this.agents()).reduce((sum, { events: n }) => sum + n, 0);
    await until(count, (n) => n >= this.#recorded.size);
  }

  async agents(): Promise<{ agent_id: string; events: number }[]> {
    const answer = await this.get('/v1/agents?limit=1000');
    return (answer.json() as { agents: { agent_id: string; events: number }[] }).agents;
  }

  /** One page of a list; fails where the answer is no list. */
  async page(path: string): Promise<Page> {
    return readPage(await this.get(path));
  }

  /** All pages of a list, one after the other. */
  async all(path: string, limit = 1000): Promise<Shown[]> {
    const events: Shown[] = [];
    for await (const page of this.pages(path, limit)) events.push(...page.events);
    return events;
  }

  async *pages(path: string, limit: number): AsyncGenerator<Page> {
    const question = `${path}${path.includes('?') ? '&' : '?'}limit=${limit}`;
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await this.page(cursor === undefined ? question : `${question}&cursor=${encodeURIComponent(cursor)}`);
      yield page;
      cursor = page.next_cursor;
    }
  }

  /** Everything of the tenant, whenever it happened. */
  everything(): Promise<Shown[]> {
    return this.all(`/v1/events?${EVER}`);
  }

  /** One event with its conflicts; undefined where nothing is recorded under the id. */
  async event(id: string): Promise<(Shown & { readonly conflicts: readonly Shown[] }) | undefined> {
    const answer = await this.get(`/v1/events/${id}`);
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw new Error(`no event: ${answer.status} ${answer.text.slice(0, 500)}`);
    return { ...readShown(answer.text), conflicts: elementTexts(memberText(answer.text, 'conflicts') as string).map(readShown) };
  }

  async completeness(path: string): Promise<Completeness> {
    return (await this.page(path)).completeness;
  }
}

export const ids = (events: readonly Shown[]): string[] => events.map(({ event }) => event.event_id);

export function readPage(answer: Answer): Page {
  if (answer.status !== 200) throw new Error(`no list: ${answer.status} ${answer.text.slice(0, 500)}`);
  const parsed = answer.json() as { events: { event: AuditEvent; recorded: Recorded }[]; next_cursor: string | null; completeness: Completeness };
  const texts = elementTexts(memberText(answer.text, 'events') as string).map((text) => memberText(text, 'event') as string);
  return { ...parsed, events: parsed.events.map(({ event, recorded }, i) => ({ event, recorded, raw: texts[i] as string })) };
}

/** @param text `{event, recorded}` */
function readShown(text: string): Shown {
  const { event, recorded } = JSON.parse(text) as { event: AuditEvent; recorded: Recorded };
  return { event, recorded, raw: memberText(text, 'event') as string };
}
