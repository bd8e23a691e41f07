import { formatNanos, parseTime, toNanos, type AuditEvent, type OutcomeStatus, type Recorded, type Resource } from '@agent-audit/schemas';
import { plural } from './completeness.ts';
import type { Cell } from './table.ts';
import { safe, type Style } from './terminal.ts';

/** An event for the eye. Numbers beyond what JavaScript holds are rounded here; `--json` gives the bytes. */
export interface SeenEvent {
  readonly event: AuditEvent;
  readonly recorded: Recorded;
}

export function readSeen(bytes: Buffer): SeenEvent {
  return JSON.parse(bytes.toString('utf8')) as SeenEvent;
}

/** The moment in UTC, whatever offset the event was sent with; RFC 3339 with all its digits. */
export function utc(time: string): string {
  const parsed = parseTime(time);
  return parsed.ok ? formatNanos(toNanos(parsed)) : safe(time);
}

/** `14:33:07.123`: cut, not rounded, so that an event never seems to come before an earlier one. */
export function clock(time: string): string {
  const [, fraction = ''] = /\.(\d+)/.exec(time) ?? [];
  return `${time.slice(11, 19)}.${fraction.padEnd(3, '0').slice(0, 3)}`;
}

const STATUS_STYLE: Readonly<Record<OutcomeStatus, Style>> = {
  success: 'green', failure: 'red', denied: 'magenta', timeout: 'yellow', unknown: 'yellow',
};

export function outcomeCell({ outcome }: AuditEvent): Cell {
  return { text: safe(outcome.status), style: STATUS_STYLE[outcome.status] ?? 'plain' };
}

export function toolText({ tool }: AuditEvent): string {
  if (tool === undefined) return '-';
  return safe(tool.server === undefined ? tool.name : `${tool.name} @${tool.server}`);
}

export function resourcesText({ resources = [] }: AuditEvent): string {
  const [first, ...others] = resources;
  if (first === undefined) return '-';
  return others.length === 0 ? resourceText(first) : `${resourceText(first)} +${others.length} more`;
}

function resourceText({ uri, name, classifications = [], records, bytes }: Resource): string {
  const facts = [
    ...classifications.map(safe),
    ...(records === undefined ? [] : [plural(records, 'record')]),
    ...(bytes === undefined ? [] : [`${bytes.toLocaleString('en')} B`]),
  ];
  return `${safe(name ?? uri)}${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`;
}

/** On whose behalf, root first. */
export function chainText({ on_behalf_of: chain = [] }: AuditEvent): string {
  return chain.map(({ id }) => safe(id)).join(' › ');
}

/** What a responder must not miss: where data went, who refused, what went wrong, what the collector remarks. */
export function remarks({ event, recorded }: SeenEvent): Cell[] {
  const cells: Cell[] = [];
  const { network, decision, outcome } = event;
  if (network !== undefined) {
    const host = network.destination_host ?? network.destination_ip;
    const traffic = [
      ...(network.bytes_out === undefined ? [] : [`${network.bytes_out.toLocaleString('en')} B out`]),
      ...(network.bytes_in === undefined ? [] : [`${network.bytes_in.toLocaleString('en')} B in`]),
    ];
    const to = host === undefined ? '' : `→ ${safe(host)}${network.destination_port === undefined ? '' : `:${network.destination_port}`}`;
    const text = [to, traffic.join(', ')].filter((part) => part !== '').join(', ');
    if (text !== '') cells.push({ text, style: 'cyan' });
  }
  if (decision !== undefined && decision.effect !== 'allow') {
    const by = decision.policy_id === undefined ? '' : ` by ${safe(decision.policy_id)}`;
    cells.push({ text: `policy: ${safe(decision.effect)}${by}${decision.reason === undefined ? '' : `: ${safe(decision.reason)}`}`, style: 'magenta' });
  }
  const refused = outcome.status === 'denied' && decision?.effect === 'deny' && outcome.message === undefined;
  if (outcome.status !== 'success' && !refused && (outcome.code !== undefined || outcome.message !== undefined)) {
    cells.push({ text: [outcome.code, outcome.message].filter((part) => part !== undefined).map(safe).join(': '), style: STATUS_STYLE[outcome.status] ?? 'plain' });
  }
  const flags = recorded.flags.map(safe);
  if (flags.length > 0) cells.push({ text: `[${flags.join(', ')}]`, style: 'yellow' });
  return cells;
}
