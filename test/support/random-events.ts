import { ACTIONS, OUTCOMES, type AuditEvent } from '@agent-audit/schemas';
import { at, NOON, SECOND } from './events.ts';
import type { Random } from './random.ts';

/** Few different values, so that filters match often; some are the beginning of others, or differ in case only. */
const AGENTS = ['agent:a', 'agent:b', 'agent:B', 'team/x/agent c', 'агент-д'];
const TOOLS = ['read', 'read_file', 'Read', 'db.query', "o'tool"];
const SERVERS = ['mcp://files', 'mcp://files/2', 'api'];
const PRINCIPALS = ['user:dana', 'user:dan', 'svc'];
const URIS = ['s3://bucket/a', 's3://bucket/a/b', 's3://bucket2', 'postgres://db/t', 'S3://bucket/a'];
const CLASSIFICATIONS = ['pii', 'PII', 'secret'];
const HOSTS = ['api.example', 'files.example'];
const IPS = ['10.0.0.1', '2001:db8::1'];
const TRACES = ['0af7651916cd43dd8448eb211c80319c', 'trace-2'];
const SESSIONS = ['s-1', 's-10'];

/**
 * A valid event with any of the fields that can be asked for, at one of `moments` times from noon on.
 *
 * @param moments how many different times there are: fewer than events, and many share one
 */
export function randomEvent(random: Random, id: string, moments: number): AuditEvent {
  const maybe = <T>(make: () => T): T | undefined => (random.chance(0.6) ? make() : undefined);
  const kind = random.pick(['tool_call', 'data_access'] as const);
  const wantsTool = kind === 'tool_call' || random.chance(0.3);
  const wantsResources = kind === 'data_access' || random.chance(0.3);
  const event = {
    event_id: id,
    time: at(NOON + BigInt(random.int(moments)) * (SECOND / 7n)),
    kind,
    agent: { id: random.pick(AGENTS) },
    session_id: maybe(() => random.pick(SESSIONS)),
    trace_id: maybe(() => random.pick(TRACES)),
    on_behalf_of: maybe(() => random.some(PRINCIPALS, random.int(3)).map((principal) => ({ type: 'user' as const, id: principal }))),
    tool: wantsTool ? { name: random.pick(TOOLS), server: maybe(() => random.pick(SERVERS)), arguments: { n: random.int(1000) } } : undefined,
    resources: wantsResources
      ? random.some(URIS, 1 + random.int(3)).map((uri) => ({ uri, type: 'object', classifications: maybe(() => random.some(CLASSIFICATIONS, random.int(3))) }))
      : undefined,
    action: random.pick(ACTIONS),
    outcome: { status: random.pick(OUTCOMES) },
    network: maybe(() => ({ destination_host: maybe(() => random.pick(HOSTS)), destination_ip: maybe(() => random.pick(IPS)) })),
  };
  // Fields that are undefined are left out of the event.
  return JSON.parse(JSON.stringify(event)) as AuditEvent;
}

/** What each filter looks at, and values to ask for: those that occur, and some that never do. */
export const FILTER_VALUES: Readonly<Record<string, readonly string[]>> = {
  agent_id: [...AGENTS, 'agent'],
  kind: ['tool_call', 'data_access'],
  tool: [...TOOLS, 'READ'],
  server: [...SERVERS, 'mcp'],
  action: ACTIONS,
  outcome: OUTCOMES,
  principal: [...PRINCIPALS, 'user'],
  session_id: [...SESSIONS, 's'],
  trace_id: [...TRACES, 'trace'],
  resource: [...URIS, 's3://'],
  resource_prefix: [...URIS, 's3://', 's', 'bucket', '%', 's3://bucket_'],
  classification: [...CLASSIFICATIONS, 'p'],
  destination: [...HOSTS, ...IPS, 'example', '10.0.0.'],
};

/** Whether one event matches one value of one filter; obviously. */
export function matches(event: AuditEvent, filter: string, value: string): boolean {
  switch (filter) {
    case 'agent_id': return event.agent.id === value;
    case 'kind': return event.kind === value;
    case 'tool': return event.tool?.name === value;
    case 'server': return event.tool?.server === value;
    case 'action': return event.action === value;
    case 'outcome': return event.outcome.status === value;
    case 'principal': return event.on_behalf_of?.some(({ id }) => id === value) ?? false;
    case 'session_id': return event.session_id === value;
    case 'trace_id': return event.trace_id === value;
    case 'resource': return event.resources?.some(({ uri }) => uri === value) ?? false;
    case 'resource_prefix': return event.resources?.some(({ uri }) => uri.startsWith(value)) ?? false;
    case 'classification': return event.resources?.some(({ classifications }) => classifications?.includes(value) ?? false) ?? false;
    case 'destination': return event.network?.destination_host === value || event.network?.destination_ip === value;
    default: throw new Error(`no such filter: ${filter}`);
  }
}
