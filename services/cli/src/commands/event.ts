import { Command } from 'commander';
import { member } from '../answer.ts';
import { notOurs } from '../client.ts';
import { chainText, outcomeCell, remarks, resourcesText, toolText, utc, type SeenEvent } from '../event-cells.ts';
import { indentJson } from '../indent-json.ts';
import type { Io } from '../io.ts';
import { clientOf, wantsJson } from '../options.ts';
import { pad, safe } from '../terminal.ts';

const LABEL = 14;

export function eventCommand(io: Io): Command {
  const command = new Command('event').description('one event as it was recorded').argument('<event_id>');
  return command.action(async (eventId: string) => {
    const client = await clientOf(command, io);
    const answer = await client.ask(`/v1/events/${encodeURIComponent(eventId)}`);
    if (wantsJson(command)) return io.out(answer);
    const event = member(answer, 'event');
    if (event === undefined) throw notOurs(client.url);
    return show(io, JSON.parse(answer.toString('utf8')) as Answer, event.toString('utf8'));
  });
}

interface Answer extends SeenEvent {
  readonly conflicts?: readonly unknown[];
  readonly proof?: { readonly state: string; readonly detail: string };
}

async function show(io: Io, seen: Answer, text: string): Promise<void> {
  const { event, recorded, proof, conflicts = [] } = seen;
  const status = outcomeCell(event);
  const facts: readonly (readonly [string, string])[] = [
    ['event', io.paint('bold', safe(event.event_id))],
    ['time', utc(event.time)],
    ['agent', safe(event.agent.id)],
    ['on behalf of', chainText(event) || '-'],
    ['what', event.tool === undefined ? safe(event.action) : `${safe(event.action)} ${toolText(event)}`],
    ['resources', resourcesText(event)],
    ['outcome', io.paint(status.style ?? 'plain', status.text)],
    ...remarks(seen).map(({ text: remark, style }) => ['', io.paint(style ?? 'plain', remark)] as const),
    ['received', `${safe(recorded.received_at)} by ${safe(recorded.collector_id)}`],
    ['log', `${safe(recorded.log_id)} #${recorded.log_index}`],
    ...(proof === undefined ? [] : [['proof', io.paint(proof.state === 'broken' ? 'red' : 'plain', `${safe(proof.state)}: ${safe(proof.detail)}`)] as const]),
    ...(conflicts.length === 0 ? [] : [['conflicts', `${conflicts.length} with the same event_id and other content; see --json`] as const]),
  ];
  for (const [label, value] of facts) await io.outLine(io.paint('dim', pad(label, LABEL)) + value);
  await io.outLine('');
  for (const line of indentJson(text).split('\n')) await io.outLine(safe(line));
}
