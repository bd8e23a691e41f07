/** Events of the record as lines that can be read aloud. Pure: what is told comes out of the answers alone. */
import { plural, safe, utc, type SeenEvent, type Style } from '@agent-audit/cli';
import type { Action, AuditEvent, Completeness, Resource } from '@agent-audit/schemas';

export interface StoryLine {
  readonly text: string;
  readonly style?: Style;
  /** Stands under the clock's column, or under the sentence. */
  readonly level?: 0 | 1;
  /** Of the first line of an event. */
  readonly clock?: string;
  /** Columns by which further lines are indented when the text is wrapped. */
  readonly hang?: number;
}

/** What the record holds of an agent from before. */
export interface Past {
  readonly events: number;
  readonly since: string | undefined;
}

export interface Findings {
  /** By time, oldest first. */
  readonly events: readonly SeenEvent[];
  readonly completeness: Completeness;
  /** Claims per event_id that no earlier event speaks against. */
  readonly firsts: ReadonlyMap<string, readonly string[]>;
  readonly past: ReadonlyMap<string, Past>;
}

export function tell(findings: Findings): StoryLine[] {
  return [...opening(findings), BLANK, ...course(findings), BLANK, ...summary(findings)];
}

const BLANK: StoryLine = { text: '' };

const timeOf = ({ event }: SeenEvent): string => utc(event.time);
const clockOf = (time: string): string => time.slice(11, 19);
export const nameOf = ({ agent }: AuditEvent): string => safe(agent.name ?? agent.id);
const minute = (time: string): string => time.slice(0, 16).replace('T', ' ');

function opening({ events, past }: Findings): StoryLine[] {
  const [first] = events;
  const last = events.at(-1);
  if (first === undefined || last === undefined) return [{ text: 'The record holds nothing of this.' }];
  const agents = new Map(events.map(({ event }) => [event.agent.id, event.agent]));
  const people = new Set(events.flatMap(({ event }) => (event.on_behalf_of ?? []).slice(0, 1).map(({ id }) => safe(id))));
  const lines: StoryLine[] = [
    { text: `What happened from ${clockOf(timeOf(first))} to ${clockOf(timeOf(last))} UTC on ${timeOf(first).slice(0, 10)}`, style: 'bold' },
    { text: `${plural(events.length, 'event')} by ${plural(agents.size, 'agent')}, on behalf of ${[...people].join(', ') || 'nobody that is named'}`, style: 'dim' },
  ];
  for (const agent of agents.values()) {
    const before = past.get(agent.id);
    const known = before === undefined || before.events === 0
      ? 'never seen before'
      : `${plural(before.events, 'earlier event')}${before.since === undefined ? '' : ` since ${minute(before.since)}`}`;
    const parent = agent.parent_agent_id === undefined ? '' : `, started by ${safe(agents.get(agent.parent_agent_id)?.name ?? agent.parent_agent_id)}`;
    lines.push({ text: `${safe(agent.name ?? agent.id)} is ${safe(agent.id)}${parent}; ${known}`, style: 'dim', hang: 2 });
  }
  return lines;
}

/** The events, with a line where some are missing. */
function course({ events, completeness, firsts }: Findings): StoryLine[] {
  const holes = holesIn(events, completeness);
  const lines: StoryLine[] = [];
  const chains = new Map<string, string>();
  for (const seen of events) {
    const { event } = seen;
    const chain = throughWhom(event, events);
    lines.push(...sentence(seen, chain === chains.get(event.agent.id) ? undefined : chain, firsts.get(event.event_id) ?? []));
    chains.set(event.agent.id, chain);
    for (const hole of holes) if (hole.after === seen) lines.push(missingLine(hole));
  }
  return lines;
}

interface Verb {
  readonly did: string;
  readonly tried: string;
}
const VERBS: Readonly<Record<Action, Verb>> = {
  invoke: { did: 'called', tried: 'call' },
  read: { did: 'read', tried: 'read' },
  query: { did: 'queried', tried: 'query' },
  list: { did: 'listed', tried: 'list' },
  create: { did: 'created', tried: 'create' },
  write: { did: 'wrote', tried: 'write' },
  update: { did: 'updated', tried: 'update' },
  delete: { did: 'deleted', tried: 'delete' },
  execute: { did: 'executed', tried: 'execute' },
  send: { did: 'sent data', tried: 'send data' },
  grant: { did: 'granted', tried: 'grant' },
  login: { did: 'logged in', tried: 'log in' },
  other: { did: 'did something', tried: 'do something' },
};

function sentence(seen: SeenEvent, chain: string | undefined, firsts: readonly string[]): StoryLine[] {
  const { event } = seen;
  const { status } = event.outcome;
  const done = status === 'success';
  // Where nothing says what it was done to, the tool is what was called.
  const verb = VERBS[object(event) === '' ? 'invoke' : event.action];
  const who = event.source?.vantage === 'resource' ? `${safe(event.source.emitter)} saw that ${nameOf(event)}` : nameOf(event);
  const what = [done ? verb.did : `tried to ${verb.tried}`, object(event), means(event)].filter((part) => part !== '').join(' ');
  const end = done ? '.' : status === 'denied' ? ', and was refused.' : status === 'timeout' ? ', and got no answer in time.' : status === 'failure' ? ', and failed.' : '; how it ended is not known.';
  const lines: StoryLine[] = [{ clock: clockOf(timeOf(seen)), text: `${who} ${what}${end}`, style: firsts.length > 0 || !done ? 'bold' : 'plain', level: 1 }];
  const add = (text: string, style: Style): void => void lines.push({ text, style, level: 1 });

  if (chain !== undefined && chain !== '') add(`on behalf of ${chain}`, 'dim');
  if (!done) {
    const said = [event.outcome.code, event.outcome.message].filter((part) => part !== undefined).map(safe).join(': ');
    const { decision } = event;
    if (decision?.effect === 'deny') add(`DENIED by policy ${safe(decision.policy_id ?? 'without a name')}${decision.reason === undefined ? '' : `: ${safe(decision.reason)}`}`, 'magenta');
    else if (said !== '') add(said, 'magenta');
  }
  const quote = addressedToAgent(event.tool?.result);
  if (quote !== undefined) add(`NOTE the text that came back speaks to the agent: “${safe(quote)}”`, 'yellow');
  if (firsts.length > 0) add(`NEW the first time that it ${firsts.map(safe).join(', and ')}`, 'yellow');
  if (done && (event.network?.bytes_out ?? 0) > 0 && firsts.some((claim) => claim.startsWith('spoke to'))) add(`OUT ${outward(event)}`, 'red');
  return lines;
}

function object({ resources = [], network, action }: AuditEvent): string {
  const host = hostOf(network);
  const things = resources.map(thing).join(' and ');
  if (action === 'send') return [things === '' ? '' : `on ${things}`, host === undefined ? '' : `to ${host}`].filter((part) => part !== '').join(' ');
  return things;
}

function thing({ name, uri, type, classifications = [], records }: Resource): string {
  const facts = [...(records === undefined || records === 1 ? [] : [plural(records, 'record')]), ...(classifications.length === 0 ? [] : [`marked ${classifications.map(safe).join(' and ')}`])];
  const label = name === undefined ? safe(uri) : name.startsWith(type) ? safe(name) : `${safe(type)} ${safe(name)}`;
  return `${label}${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`;
}

function means(event: AuditEvent): string {
  if (event.tool === undefined) return '';
  return `${object(event) === '' ? '' : 'with '}${safe(event.tool.name)}`;
}

function hostOf(network: AuditEvent['network']): string | undefined {
  const host = network?.destination_host ?? network?.destination_ip;
  return host === undefined ? undefined : safe(host);
}

function outward({ network }: AuditEvent): string {
  return `${plural(network?.bytes_out ?? 0, 'byte')} to ${hostOf(network) ?? 'a host that is not named'}${network?.destination_port === undefined ? '' : `, port ${network.destination_port}`}`;
}

function throughWhom({ on_behalf_of: chain = [] }: AuditEvent, events: readonly SeenEvent[]): string {
  const [root, ...between] = chain;
  if (root === undefined) return '';
  const names = between.map(({ id }) => safe(events.find(({ event }) => event.agent.id === id)?.event.agent.name ?? id));
  return `${safe(root.id)}${names.length === 0 ? '' : `, through ${names.join(', then ')}`}`;
}

const QUOTE_MAX = 240;

/** Text in a result that reads like an order to the agent. A hint for the reader, no verdict. */
export function addressedToAgent(result: unknown): string | undefined {
  if (typeof result === 'string') {
    const found = /\b(?:ignore|disregard|forget)\b[^.]{0,80}\binstructions\b/i.exec(result);
    if (found === null) return undefined;
    const rest = result.slice(found.index);
    return rest.length > QUOTE_MAX ? `${rest.slice(0, rest.lastIndexOf(' ', QUOTE_MAX))} …` : rest;
  }
  if (typeof result !== 'object' || result === null) return undefined;
  for (const value of Object.values(result)) {
    const found = addressedToAgent(value);
    if (found !== undefined) return found;
  }
  return undefined;
}

interface Hole {
  readonly emitter: string;
  readonly from: number;
  readonly to: number;
  /** The emitter's last event before the hole, and its first one behind. */
  readonly after: SeenEvent | undefined;
  readonly before: SeenEvent | undefined;
}

function holesIn(events: readonly SeenEvent[], { emitters }: Completeness): Hole[] {
  const numbered = (emitter: string, wanted: (sequence: number) => boolean): SeenEvent[] =>
    events.filter(({ event: { source } }) => source?.emitter === emitter && source.sequence !== undefined && wanted(source.sequence));
  return emitters.flatMap(({ emitter, missing }) =>
    missing.map(([from, to]) => ({
      emitter, from, to,
      after: numbered(emitter, (sequence) => sequence < from).at(-1),
      before: numbered(emitter, (sequence) => sequence > to)[0],
    })));
}

function numbersOf({ from, to }: Hole): string {
  return from === to ? `number ${from}` : `numbers ${from} to ${to}`;
}

function missingLine(hole: Hole): StoryLine {
  const count = hole.to - hole.from + 1;
  return { clock: '   ?', text: `${plural(count, 'event')} of ${safe(hole.emitter)} ${count === 1 ? 'is' : 'are'} missing here (${numbersOf(hole)}).`, style: 'red', level: 1 };
}

/** Width of the labels in the summary. */
const POINT = 'Touched  '.length;

function summary(findings: Findings): StoryLine[] {
  const { events, firsts, completeness } = findings;
  const lines: StoryLine[] = [{ text: 'In short', style: 'bold' }];
  const point = (label: string, text: string, style: Style): void => void lines.push({ text: `${label.padEnd(POINT)}${text}`, style, hang: POINT });
  for (const seen of events) {
    const { event } = seen;
    const labels = new Set((event.resources ?? []).flatMap(({ classifications = [] }) => classifications));
    if (labels.size > 0) point('Touched', `${(event.resources ?? []).map(thing).join(' and ')}, by ${nameOf(event)} at ${clockOf(timeOf(seen))}`, 'yellow');
    if (event.outcome.status === 'denied') point('Refused', `${nameOf(event)} with ${safe(event.tool?.name ?? event.action)} at ${clockOf(timeOf(seen))}${event.decision?.policy_id === undefined ? '' : `, by ${safe(event.decision.policy_id)}`}`, 'magenta');
    if (isLeak(seen, firsts)) point('Left', `${outward(event)}, by ${nameOf(event)} at ${clockOf(timeOf(seen))} (event ${safe(event.event_id)})`, 'red');
  }
  const holes = holesIn(events, completeness);
  for (const hole of holes) {
    const between = hole.after === undefined || hole.before === undefined ? '' : `, between ${clockOf(timeOf(hole.after))} and ${clockOf(timeOf(hole.before))}`;
    point('Missing', `${plural(hole.to - hole.from + 1, 'event')} of ${safe(hole.emitter)}, ${numbersOf(hole)}${between}: what they were is not known`, 'red');
  }
  if (holes.length === 0) point('Missing', completeness.status === 'complete' ? 'nothing: the sequence numbers of every emitter are without a hole' : 'nothing is known to be missing, but nothing proves it', completeness.status === 'complete' ? 'green' : 'yellow');
  return lines;
}

/** Data that went, for the first time, to a host that the agent never spoke to. */
export function isLeak({ event }: SeenEvent, firsts: Findings['firsts']): boolean {
  return event.outcome.status === 'success' && (event.network?.bytes_out ?? 0) > 0
    && (firsts.get(event.event_id) ?? []).some((claim) => claim.startsWith('spoke to'));
}
