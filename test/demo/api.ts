import { setTimeout as sleep } from 'node:timers/promises';
import { pages, readSeen, type Client, type Params, type SeenEvent } from '@agent-audit/cli';
import { IngestAnswer, type AuditEvent, type Completeness } from '@agent-audit/schemas';

export interface Found {
  readonly events: readonly SeenEvent[];
  readonly completeness: Completeness;
}

export async function record(client: Client, events: readonly AuditEvent[]): Promise<void> {
  const body = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  const answer = await client.askJson('/v1/events', IngestAnswer, { method: 'POST', body, headers: { 'content-type': 'application/x-ndjson' } });
  if (answer.accepted !== events.length) throw new Error(`of ${events.length} events only ${answer.accepted} were accepted: ${JSON.stringify(answer.rejected.slice(0, 3))}`);
}

export async function find(client: Client, params: Params): Promise<Found> {
  const events: SeenEvent[] = [];
  let completeness: Completeness | undefined;
  for await (const page of pages(client, '/v1/events', 'events', params, { limit: undefined, cursor: undefined })) {
    events.push(...page.items.map(readSeen));
    completeness = page.completeness;
  }
  if (completeness === undefined) throw new Error('the answer says nothing about completeness');
  return { events, completeness };
}

/** An acknowledged event is on disk, but may be a moment from being found. */
export async function findAll(client: Client, params: Params, count: number): Promise<Found> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const found = await find(client, params);
    if (found.events.length >= count) return found;
    if (Date.now() > deadline) throw new Error(`only ${found.events.length} of ${count} events are to be found`);
    await sleep(100);
  }
}

/** Whether the record holds any event that fits. */
export async function isKnown(client: Client, params: Params): Promise<boolean> {
  for await (const page of pages(client, '/v1/events', 'events', params, { limit: 1, cursor: undefined })) return page.items.length > 0;
  return false;
}
