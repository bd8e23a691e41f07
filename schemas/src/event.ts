/**
 * The event: one tool call or one data access by one agent. This zod schema is the one source of truth;
 * the TypeScript types, the JSON Schema, the compiled validator and the OpenAPI document derive from it.
 *
 * Whatever JSON Schema cannot derive from zod by itself (code point lengths, formats, the pairing of
 * `kind`) stands in `.meta()` right beside the zod check that enforces the same rule.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { LENGTHS } from './limits.ts';
import { parseTime } from './time.ts';

export const KINDS = ['tool_call', 'data_access'] as const;
export const ACTIONS = [
  'invoke', 'read', 'query', 'list', 'create', 'write', 'update', 'delete', 'execute', 'send', 'grant', 'login', 'other',
] as const;
export const OUTCOMES = ['success', 'failure', 'denied', 'timeout', 'unknown'] as const;
export const EFFECTS = ['allow', 'deny', 'modify'] as const;
export const VANTAGES = ['agent', 'gateway', 'resource'] as const;
export const PRINCIPAL_TYPES = ['user', 'service', 'agent'] as const;

/** Length as JSON Schema counts it: in code points, not in UTF-16 units. */
function codePoints(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++, count++) {
    if ((text.codePointAt(i) as number) > 0xffff) i++;
  }
  return count;
}

// Control characters in an identifier break logs and terminals, and make two different ids look alike.
// oxlint-disable-next-line no-control-regex -- they are what this pattern is about
const NO_CONTROLS = /^[^\u0000-\u001f\u007f]*$/u;

const bounded = (text: z.ZodString, maxLength: number, description: string, extra: Record<string, unknown> = {}) =>
  text
    .check((ctx) => {
      if (ctx.value.length > maxLength && codePoints(ctx.value) > maxLength) {
        ctx.issues.push({ code: 'too_big', origin: 'string', maximum: maxLength, inclusive: true, input: ctx.value });
      }
    })
    .meta({ description, maxLength, ...extra });

/** An identifier or label: not empty, one line, no C0 control or DEL. */
const label = (maxLength: number, description: string, extra?: Record<string, unknown>) =>
  bounded(z.string().min(1).regex(NO_CONTROLS), maxLength, description, extra);

/** Prose for people: may be empty and hold line breaks. */
const prose = (maxLength: number, description: string) => bounded(z.string(), maxLength, description);

/** 0 to 2^53 - 1: what JSON numbers carry exactly everywhere. */
const counter = (description: string) => z.int().min(0).meta({ description });

const anything = (description: string) => z.unknown().meta({ description });

export const EventId = bounded(
  z.string().min(1).regex(/^[A-Za-z0-9._:-]*$/u),
  LENGTHS.eventId,
  'Idempotency key given by the producer, unique per tenant. 1 to 128 characters of A-Z a-z 0-9 . _ : -',
  { examples: ['01JD9Z6Q6W8H3T9V5X2B7N4M1K'] },
);

export const EventTime = z
  .string()
  .check((ctx) => {
    const time = parseTime(ctx.value);
    if (!time.ok) ctx.issues.push({ code: 'custom', message: time.message, params: { code: time.code }, input: ctx.value });
  })
  .meta({
    description:
      'When it happened: RFC 3339 timestamp with UTC offset and up to nine fraction digits (nanoseconds), from ' +
      '1900-01-01T00:00:00Z to 2262-04-11T23:47:16.854775807Z. Leap seconds (:60) are refused.',
    format: 'date-time',
    examples: ['2026-11-22T14:33:07.123456789Z'],
  });

export const Model = z.strictObject({
  provider: label(LENGTHS.name, 'Who serves the model (OpenTelemetry gen_ai.provider.name).').optional(),
  id: label(LENGTHS.name, 'Model asked for (OpenTelemetry gen_ai.request.model).'),
}).meta({ description: 'Language model that drives the agent.' });

export const Agent = z.strictObject({
  id: label(LENGTHS.agentId, 'Stable identity of the agent (OpenTelemetry gen_ai.agent.id).'),
  name: label(LENGTHS.name, 'Name for people (gen_ai.agent.name).').optional(),
  version: label(LENGTHS.version, 'Version of the agent (gen_ai.agent.version).').optional(),
  instance_id: label(LENGTHS.agentId, 'One running instance of the agent: a process, pod or session.').optional(),
  parent_agent_id: label(LENGTHS.agentId, '`agent.id` of the agent that started this one.').optional(),
  model: Model.optional(),
}).meta({ description: 'The agent that acted.' });

export const DelegationLink = z.strictObject({
  type: z.enum(PRINCIPAL_TYPES).meta({ description: 'What kind of principal this link is.' }),
  id: label(LENGTHS.principalId, 'Identity of the principal, such as a user id or a role ARN.'),
  delegation_id: label(LENGTHS.traceId, 'Identity of the act of delegating; opaque.').optional(),
  parent_delegation_id: label(LENGTHS.traceId, '`delegation_id` of the link before, where it is known.').optional(),
  scopes: z.array(label(LENGTHS.scope, 'One scope, as in OAuth 2.0 (RFC 6749 section 3.3).')).max(LENGTHS.scopes)
    .meta({ description: 'What was delegated.' }).optional(),
}).meta({ description: 'One link of a delegation chain.' });

export const Tool = z.strictObject({
  name: label(LENGTHS.toolName, 'Tool that was called (OpenTelemetry gen_ai.tool.name, MCP params.name).'),
  server: label(LENGTHS.toolServer, 'Who offers the tool: an MCP server, an API host, a service.').optional(),
  call_id: label(LENGTHS.callId, 'Identity of the call (gen_ai.tool.call.id); opaque.').optional(),
  definition_hash: label(LENGTHS.hash, 'Digest of the definition that the agent saw, such as sha256:...; opaque.').optional(),
  arguments: anything('Arguments of the call: any JSON, kept as sent (gen_ai.tool.call.arguments).').optional(),
  result: anything('Result of the call: any JSON, kept as sent (gen_ai.tool.call.result).').optional(),
}).meta({ description: 'The tool that was called.' });

export const Resource = z.strictObject({
  uri: label(LENGTHS.uri, 'Identity of what was touched: a URI (RFC 3986), ARN or path.'),
  type: label(LENGTHS.resourceType, 'What it is, such as table, file, bucket, AWS::S3::Bucket.'),
  name: label(LENGTHS.resourceName, 'Name for people.').optional(),
  classifications: z.array(label(LENGTHS.classification, 'One label, such as pii or confidential.'))
    .max(LENGTHS.classifications).meta({ description: 'Sensitivity labels.' }).optional(),
  records: counter('Records (rows, documents, messages) touched.').optional(),
  bytes: counter('Bytes of it touched.').optional(),
}).meta({ description: 'One thing that was touched.' });

export const Outcome = z.strictObject({
  status: z.enum(OUTCOMES).meta({ description: 'How it ended.' }),
  code: label(LENGTHS.code, 'Code of the error (OpenTelemetry error.type) or of the answer, such as 404.').optional(),
  message: prose(LENGTHS.message, 'What was said about it.').optional(),
}).meta({ description: 'How it ended.' });

export const Decision = z.strictObject({
  effect: z.enum(EFFECTS).meta({ description: 'What the policy decided.' }),
  policy_id: label(LENGTHS.name, 'Policy that decided.').optional(),
  policy_version: label(LENGTHS.version, 'Version of that policy.').optional(),
  reason: prose(LENGTHS.reason, 'Why, for people.').optional(),
}).meta({ description: 'Decision of a policy or guardrail.' });

export const Network = z.strictObject({
  destination_host: label(LENGTHS.host, 'Host name spoken to (OpenTelemetry server.address).').optional(),
  destination_ip: z.string()
    .check((ctx) => {
      if (!isAddress(ctx.value)) {
        ctx.issues.push({
          code: 'custom',
          message: 'must be an IPv4 or IPv6 address, without port, prefix length or zone',
          params: { code: 'bad_format' },
          input: ctx.value,
        });
      }
    })
    .meta({
      description: 'Address spoken to: IPv4 (RFC 791 dotted decimal) or IPv6 (RFC 4291), no zone.',
      anyOf: [{ format: 'ipv4' }, { format: 'ipv6' }],
    })
    .optional(),
  destination_port: z.int().min(0).max(65_535).meta({ description: 'Port spoken to, 0 to 65535.' }).optional(),
  protocol: label(LENGTHS.protocol, 'Protocol, such as https or postgresql.').optional(),
  bytes_out: counter('Bytes sent by the agent.').optional(),
  bytes_in: counter('Bytes received by the agent.').optional(),
}).meta({ description: 'Where the traffic went.' });

export const Source = z.strictObject({
  emitter: label(LENGTHS.emitter, 'Who emitted the event; the scope of `sequence`.'),
  sequence: counter('Counter per emitter that rises by one with each event; it is what makes a gap visible.').optional(),
  vantage: z.enum(VANTAGES).meta({ description: 'From where it was seen.' }).optional(),
}).meta({ description: 'Who says so.' });

const traceId = (description: string) => label(LENGTHS.traceId, description);

const shape = {
  event_id: EventId,
  time: EventTime,
  kind: z.enum(KINDS).meta({
    description: '`tool_call` needs `tool`; `data_access` needs at least one of `resources`. Either may carry both.',
  }),
  agent: Agent,
  session_id: label(LENGTHS.sessionId, 'Conversation or session (gen_ai.conversation.id, mcp.session.id); opaque.').optional(),
  trace_id: traceId(
    'Trace: 32 lower-case hex digits where it is a W3C Trace Context trace-id; other ids are opaque, up to 128 characters.',
  ).optional(),
  span_id: traceId(
    'Span: 16 lower-case hex digits where it is a W3C Trace Context parent-id; other ids are opaque, up to 128 characters.',
  ).optional(),
  parent_span_id: traceId('`span_id` of the span above; same form as `span_id`.').optional(),
  on_behalf_of: z.array(DelegationLink).max(LENGTHS.delegationLinks)
    .meta({ description: 'Delegation chain, root first, the agent itself not included.' }).optional(),
  tool: Tool.optional(),
  resources: z.array(Resource).max(LENGTHS.resources).meta({ description: 'What was touched.' }).optional(),
  action: z.enum(ACTIONS).meta({ description: 'What was done, in one verb.' }),
  outcome: Outcome,
  decision: Decision.optional(),
  network: Network.optional(),
  duration_ms: z.number().min(0).meta({ description: 'How long it took, in milliseconds; fractions allowed.' }).optional(),
  source: Source.optional(),
  attributes: z.looseObject({}).meta({ description: 'Free-form data: an object of any JSON, kept as sent.' }).optional(),
};

const pairing = (kind: (typeof KINDS)[number], then: Record<string, unknown>) => ({
  if: { type: 'object', properties: { kind: { const: kind } }, required: ['kind'] },
  // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's keyword; nobody awaits a schema
  then,
});

export const AuditEvent = z
  .strictObject(shape)
  .check((ctx) => {
    for (const issue of kindIssues(ctx.value)) {
      ctx.issues.push({ code: 'custom', path: [issue.field], message: issue.message, params: { code: issue.code }, input: ctx.value });
    }
  })
  .meta({
    title: 'Audit event',
    description: 'One tool call or one data access by one agent.',
    allOf: [
      pairing('tool_call', { required: ['tool'] }),
      pairing('data_access', { required: ['resources'], properties: { resources: { type: 'array', minItems: 1 } } }),
    ],
  });

export type AuditEvent = z.infer<typeof AuditEvent>;
export type Kind = AuditEvent['kind'];
export type Action = AuditEvent['action'];
export type OutcomeStatus = AuditEvent['outcome']['status'];
export type Agent = z.infer<typeof Agent>;
export type Model = z.infer<typeof Model>;
export type DelegationLink = z.infer<typeof DelegationLink>;
export type Tool = z.infer<typeof Tool>;
export type Resource = z.infer<typeof Resource>;
export type Outcome = z.infer<typeof Outcome>;
export type Decision = z.infer<typeof Decision>;
export type Network = z.infer<typeof Network>;
export type Source = z.infer<typeof Source>;

/** IPv4 or IPv6 literal; `isIP` would also take a zone (`fe80::1%eth0`), which means nothing elsewhere. */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes('%');
}

export interface KindIssue {
  readonly field: 'tool' | 'resources';
  readonly code: 'kind_needs_tool' | 'kind_needs_resources';
  readonly message: string;
}

/** What `kind` asks for and the event lacks. Takes raw values so that it can explain a broken event too. */
export function kindIssues(event: { kind?: unknown; tool?: unknown; resources?: unknown }): KindIssue[] {
  if (event.kind === 'tool_call' && event.tool === undefined) {
    return [{ field: 'tool', code: 'kind_needs_tool', message: 'is required when `kind` is `tool_call`; name the tool in `tool.name`' }];
  }
  if (event.kind === 'data_access') {
    const { resources } = event;
    if (resources === undefined || (Array.isArray(resources) && resources.length === 0)) {
      return [{
        field: 'resources',
        code: 'kind_needs_resources',
        message: 'must name at least one resource when `kind` is `data_access`',
      }];
    }
  }
  return [];
}
