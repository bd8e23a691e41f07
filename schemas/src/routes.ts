/** The routes that exist, as the OpenAPI document describes them. */
import { FILTER_VALUES, HEARTBEATS_MAX, QUARANTINE_STATES } from './api.ts';
import { CLOUDEVENT_BATCH_TYPE, CLOUDEVENT_TYPE } from './cloudevents.ts';
import { FIELD_ERROR_CODES } from './errors.ts';
import { FILTERS, LIMIT_DEFAULT, LIMIT_MAX, type FilterName } from './event-query.ts';
import { EVENT_SCHEMA_ID, type JsonSchema } from './json-schema.ts';
import type { Answer, Parameter, Route } from './openapi.ts';

const path = (name: string, description: string): Parameter => ({ name, in: 'path', required: true, description, schema: { type: 'string', minLength: 1 } });
const query = (name: string, description: string, schema: JsonSchema, required = false): Parameter =>
  ({ name, in: 'query', description, required, schema });

const MOMENT = 'RFC 3339, or relative: now, -30s, -15m, -24h, -7d, -2w.';
const PAGE = [
  query('limit', 'Most items in one answer.', { type: 'integer', minimum: 1, maximum: LIMIT_MAX, default: LIMIT_DEFAULT }),
  query('cursor', '`next_cursor` of the answer before.', { type: 'string' }),
];
const order = (of: string): Parameter => query('order', `By ${of}.`, { type: 'string', enum: ['asc', 'desc'], default: 'asc' });
const FROM = query('from', `Begin of the window, included. ${MOMENT}`, { type: 'string' }, true);
const TO = query('to', `End of the window, not included. ${MOMENT}`, { type: 'string', default: 'now' });
const windowOf = (what: string): Parameter[] => [
  FROM,
  TO,
  order(what),
  ...PAGE,
];
const WINDOW = windowOf('event time');

const ABOUT: Readonly<Record<FilterName, string>> = {
  agent_id: '`agent.id`.', kind: '`kind`.', tool: '`tool.name`.', server: '`tool.server`.', action: '`action`.', outcome: '`outcome.status`.',
  principal: '`id` of any link of `on_behalf_of`.', session_id: '`session_id`.', trace_id: '`trace_id`.', resource: '`uri` of any resource.',
  resource_prefix: 'Begin of the `uri` of any resource.', classification: 'Any classification of any resource.',
  destination: '`network.destination_host` or `network.destination_ip`.',
};

function filters(without: readonly FilterName[] = []): Parameter[] {
  return FILTERS.filter((name) => !without.includes(name)).flatMap((name) => {
    const values = FILTER_VALUES[name];
    const items: JsonSchema = values ? { type: 'string', enum: values } : { type: 'string', minLength: 1 };
    const many = (of: string, description: string): Parameter =>
      ({ name: of, in: 'query', description, required: false, style: 'form', explode: true, schema: { type: 'array', items } });
    return [many(name, `${ABOUT[name]} Repeat for or.`), many(`-${name}`, `Not: ${ABOUT[name]}`)];
  });
}

const INGESTED: Readonly<Record<number, Answer>> = {
  202: { description: 'At least one event was accepted, and is durable.', schema: 'IngestAnswer' },
  422: { description: 'Every event was rejected; they are in quarantine.', schema: 'IngestAnswer' },
};
const PREFER: Parameter = {
  name: 'Prefer', in: 'header', required: false, schema: { type: 'string', examples: ['wait=5'] },
  description: '`wait=N` (RFC 7240): answer when the events can be found, after N seconds at the latest. They are durable either way.',
};
const ANY_OBJECT: JsonSchema = { type: 'object' };
const LOG = [path('tenant', 'Whose log it is.'), path('collector_id', 'Collector that keeps it.')];

export const ROUTES: readonly Route[] = [
  {
    method: 'post', path: '/v1/events', operationId: 'postEvents', tag: 'Recording', scope: 'events:write',
    summary: 'Record events',
    description: 'One event, a JSON array, NDJSON, or CloudEvents 1.0. `Content-Encoding` gzip, zstd or br. A 2xx means that the events are on disk.',
    body: {
      'application/json': { oneOf: [{ $ref: '#/components/schemas/AuditEvent' }, { type: 'array', items: { $ref: '#/components/schemas/AuditEvent' } }] },
      'application/x-ndjson': { type: 'string', description: 'One event a line.' },
      [CLOUDEVENT_TYPE]: ANY_OBJECT,
      [CLOUDEVENT_BATCH_TYPE]: { type: 'array', items: ANY_OBJECT },
    },
    parameters: [PREFER], answers: INGESTED, problems: [413, 415],
  },
  {
    method: 'post', path: '/v1/import/cloudtrail', operationId: 'importCloudTrail', tag: 'Recording', scope: 'events:write',
    summary: 'Record AWS CloudTrail records as data accesses',
    description: 'A CloudTrail log file (`{"Records": [...]}`), a JSON array, or NDJSON, one record a line.',
    body: {
      'application/json': { oneOf: [ANY_OBJECT, { type: 'array', items: ANY_OBJECT }] },
      'application/x-ndjson': { type: 'string', description: 'One record a line.' },
    },
    parameters: [PREFER], answers: INGESTED, problems: [413, 415],
  },
  {
    method: 'post', path: '/v1/heartbeats', operationId: 'postHeartbeats', tag: 'Recording', scope: 'events:write',
    summary: 'Say that emitters are alive, and how far they have counted',
    description: `One heartbeat, or an array of at most ${HEARTBEATS_MAX}. A 2xx means that they are stored. Sending one again changes nothing.`,
    body: { 'application/json': { oneOf: [{ $ref: '#/components/schemas/Heartbeat' }, { type: 'array', items: { $ref: '#/components/schemas/Heartbeat' }, minItems: 1, maxItems: HEARTBEATS_MAX }] } },
    answers: {
      202: { description: 'At least one was accepted, and is stored.', schema: 'HeartbeatAnswer' },
      422: { description: 'Every one was rejected.', schema: 'HeartbeatAnswer' },
    },
    problems: [413, 415],
  },
  {
    method: 'get', path: '/v1/agents/{agent_id}/timeline', operationId: 'getAgentTimeline', tag: 'Reconstructing', scope: 'events:read',
    summary: 'Everything that an agent did in a window',
    parameters: [path('agent_id', '`agent.id`, percent-encoded.'), ...WINDOW, ...filters(['agent_id'])],
    answers: { 200: { description: 'One page of events.', schema: 'EventList' } },
  },
  {
    method: 'get', path: '/v1/events', operationId: 'listEvents', tag: 'Reconstructing', scope: 'events:read',
    summary: 'Events of a window, filtered',
    parameters: [...WINDOW, ...filters()],
    answers: { 200: { description: 'One page of events.', schema: 'EventList' } },
  },
  {
    method: 'get', path: '/v1/events/{event_id}', operationId: 'getEvent', tag: 'Reconstructing', scope: 'events:read',
    summary: 'One event',
    parameters: [path('event_id', '`event_id`.')],
    answers: { 200: { description: 'The event.', schema: 'EventAnswer' } }, problems: [404, 410],
  },
  {
    method: 'get', path: '/v1/events/{event_id}/proof', operationId: 'getEventProof', tag: 'Proving', scope: 'events:read',
    summary: 'That an event is in the log, to be verified without this service',
    description: 'A C2SP tlog-proof. Its `extra` line is base64 of JSON: tenant, event_id, received_at_us (microseconds since 1970), salt. docs/proof.md says how the leaf is made of them and of the event\'s bytes.',
    parameters: [
      path('event_id', '`event_id`.'), query('log_index', 'Which, where several are recorded under the id; default: the first.', { type: 'integer', minimum: 0 }),
    ],
    answers: { 200: { description: 'The proof.', schema: { type: 'string' }, mediaType: 'text/plain' } }, problems: [404, 409],
  },
  {
    method: 'post', path: '/v1/erasures', operationId: 'eraseEvents', tag: 'Proving', scope: 'admin',
    summary: 'Erase the bytes of events',
    description: 'Their leaves stay in the log, with a signed tombstone that says who, when and why: verification says erased, and goes on working. What is erased cannot be had back. Sending the same request again finishes one that broke off.',
    body: { 'application/json': 'ErasureRequest' },
    answers: { 200: { description: 'They are gone.', schema: 'ErasureAnswer' } }, problems: [409, 413],
  },
  {
    method: 'post', path: '/v1/logs/rotate-key', operationId: 'rotateLogKey', tag: 'Proving', scope: 'admin',
    summary: 'Let a new key sign the logs of this collector', description: 'For keys of tenant `default`. The old key vouches for the new one, and signs beside it for `AGENT_AUDIT_LOG_KEY_OVERLAP_DAYS`.',
    answers: { 200: { description: 'The logs, with the new key.', schema: 'LogList' } }, problems: [409],
  },
  {
    method: 'get', path: '/v1/logs', operationId: 'listLogs', tag: 'Proving', scope: 'events:read', summary: 'Logs of the tenant, and the keys that sign them',
    answers: { 200: { description: 'The logs in the data folder of this collector.', schema: 'LogList' } },
  },
  {
    method: 'get', path: '/v1/logs/{tenant}/{collector_id}/checkpoint', operationId: 'getCheckpoint', tag: 'Proving', scope: 'events:read',
    summary: 'What the log is now, signed', description: 'A C2SP tlog-checkpoint.',
    parameters: LOG, answers: { 200: { description: 'The checkpoint.', schema: { type: 'string' }, mediaType: 'text/plain' } }, problems: [404],
  },
  {
    method: 'get', path: '/v1/logs/{tenant}/{collector_id}/tile/{path}', operationId: 'getTile', tag: 'Proving', scope: 'events:read',
    summary: 'Hashes or entries of the log', description: 'C2SP tlog-tiles: `tile/<level>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`. N has the form x001/x234/067.',
    parameters: [...LOG, path('path', 'Level, or `entries`, and place.')],
    answers: { 200: { description: 'The tile.', schema: { type: 'string', format: 'binary' }, mediaType: 'application/octet-stream' } }, problems: [404],
  },
  {
    method: 'get', path: '/v1/logs/{tenant}/{collector_id}/consistency', operationId: 'getConsistency', tag: 'Proving', scope: 'events:read',
    summary: 'That the log only grew',
    parameters: [...LOG, query('from', 'Entries of the earlier checkpoint.', { type: 'integer', minimum: 0 }, true), query('to', 'Entries of the later one; default: the last.', { type: 'integer', minimum: 0 })],
    answers: { 200: { description: 'The proof.', schema: 'Consistency' } }, problems: [404],
  },
  {
    method: 'get', path: '/v1/completeness', operationId: 'getCompleteness', tag: 'Reconstructing', scope: 'events:read',
    summary: 'What is known to be missing from a window',
    description: 'The statement that every list of events carries, by itself.',
    parameters: [FROM, TO, { name: 'agent_id', in: 'query', description: `${ABOUT.agent_id} Repeat for or.`, required: false, style: 'form', explode: true, schema: { type: 'array', items: { type: 'string', minLength: 1 } } }],
    answers: { 200: { description: 'The statement.', schema: 'Completeness' } },
  },
  {
    method: 'get', path: '/v1/agents', operationId: 'listAgents', tag: 'Reconstructing', scope: 'events:read',
    summary: 'Agents that were seen',
    parameters: [order('agent id'), ...PAGE],
    answers: { 200: { description: 'One page of agents.', schema: 'AgentList' } },
  },
  {
    method: 'get', path: '/v1/quarantine', operationId: 'listQuarantine', tag: 'Recording', scope: 'events:read',
    summary: 'Events that were refused, with their bytes and the reasons',
    parameters: [
      ...windowOf('time of receipt'),
      query('state', 'Only entries in this state; default: all.', { type: 'string', enum: QUARANTINE_STATES }),
      query('code', 'Only entries with an error of this code.', { type: 'string', enum: Object.keys(FIELD_ERROR_CODES) }),
    ],
    answers: { 200: { description: 'One page of the quarantine.', schema: 'QuarantineList' } },
  },
  {
    method: 'post', path: '/v1/quarantine/replay', operationId: 'replayQuarantine', tag: 'Recording', scope: 'admin',
    summary: 'Read refused events again, and record those that are valid now',
    description: 'With the schema and limits of today. Entries are never changed; those that are recorded are marked. Sending the same request again changes nothing.',
    body: { 'application/json': 'ReplayRequest' },
    answers: { 200: { description: 'What became of the entries.', schema: 'ReplayAnswer' } }, problems: [413, 415],
  },
  {
    method: 'post', path: '/v1/keys', operationId: 'createKey', tag: 'Keys', scope: 'admin', summary: 'Make a key',
    body: { 'application/json': 'KeyRequest' },
    answers: { 201: { description: 'The key, with its secret this once.', schema: 'KeyCreated' } }, problems: [413, 415],
  },
  {
    method: 'get', path: '/v1/keys', operationId: 'listKeys', tag: 'Keys', scope: 'admin', summary: 'Keys of the tenant',
    answers: { 200: { description: 'The keys, without secrets.', schema: 'KeyList' } },
  },
  {
    method: 'delete', path: '/v1/keys/{id}', operationId: 'revokeKey', tag: 'Keys', scope: 'admin', summary: 'Revoke a key',
    parameters: [path('id', 'Id of the key.')],
    answers: { 204: { description: 'It no longer works.' } }, problems: [404],
  },
  {
    method: 'get', path: '/healthz', operationId: 'getHealth', tag: 'Running', summary: 'Alive',
    answers: { 200: { description: 'The process is alive.', schema: ANY_OBJECT } },
  },
  {
    method: 'get', path: '/readyz', operationId: 'getReady', tag: 'Running', summary: 'Able to accept and answer',
    answers: { 200: { description: 'It can accept and answer.', schema: ANY_OBJECT } }, problems: [503],
  },
  {
    method: 'get', path: '/metrics', operationId: 'getMetrics', tag: 'Running', summary: 'Metrics',
    answers: { 200: { description: 'Prometheus text format.', schema: { type: 'string' }, mediaType: 'text/plain' } },
  },
  {
    method: 'get', path: '/openapi.json', operationId: 'getOpenApi', tag: 'Running', summary: 'This document',
    answers: { 200: { description: 'OpenAPI 3.1.', schema: ANY_OBJECT } },
  },
  {
    method: 'get', path: EVENT_SCHEMA_ID, operationId: 'getEventSchema', tag: 'Running', summary: 'JSON Schema of the event',
    answers: { 200: { description: 'JSON Schema, draft 2020-12.', schema: ANY_OBJECT, mediaType: 'application/schema+json' } },
  },
];
