/** Builds the OpenAPI 3.1 document out of the zod shapes, so that it cannot say other than they do. */
import { z } from 'zod';
import * as api from './api.ts';
import type { JsonSchema } from './json-schema.ts';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly description: string;
  readonly required?: boolean;
  readonly schema: JsonSchema;
  /** Repeatable query parameter. */
  readonly explode?: boolean;
  readonly style?: 'form' | 'simple';
}

export interface Answer {
  readonly description: string;
  /** Name of a component, or a schema in place; absent: no body. */
  readonly schema?: string | JsonSchema;
  readonly mediaType?: string;
}

export interface Route {
  readonly method: Method;
  /** As OpenAPI spells it: `/v1/events/{event_id}`. */
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tag: string;
  /** Scope that the key needs; absent: open to all. */
  readonly scope?: api.Scope;
  readonly parameters?: readonly Parameter[];
  /** Media type to component name or schema. */
  readonly body?: Readonly<Record<string, string | JsonSchema>>;
  readonly answers: Readonly<Record<number, Answer>>;
  /** Problems by status beside those that every route with a scope can answer (400, 401, 403, 429, 503). */
  readonly problems?: readonly number[];
}

const COMPONENTS = [
  api.RecordedEvent, api.FieldErrorShape, api.Rejection, api.IngestAnswer, api.Problem, api.Recorded, api.EventRecord, api.ProofState, api.EventAnswer, api.ErasureRequest, api.ErasureAnswer, api.LogKey, api.LogInfo, api.LogList, api.Consistency,
  api.EmitterCompleteness, api.Completeness, api.Heartbeat, api.HeartbeatAnswer, api.EventList, api.AgentSummary, api.AgentList, api.QuarantineReplay, api.QuarantineEntry,
  api.QuarantineList, api.ReplayIds, api.ReplayCorrection, api.ReplayWindow, api.ReplayRequest, api.ReplayAnswer, api.Scope, api.KeyRequest, api.KeyInfo, api.KeyCreated, api.KeyList,
] as const;

const PROBLEMS: Readonly<Record<number, string>> = {
  400: 'Malformed: JSON that does not parse (with line and offset), or parameters that do not hold.',
  401: 'No key, or one that is not valid.',
  403: 'The key lacks the scope.',
  404: 'No such thing in this tenant.',
  410: 'It was erased; by whom, when and why is in the answer.',
  409: 'Not in the state that it must be in: it exists already, or is not there yet.',
  413: 'The body is too large after decompression, or holds too many events.',
  415: 'A media type or content encoding that is not understood.',
  429: 'Too fast; wait as `Retry-After` says. Nothing was accepted.',
  503: 'Not able now; wait as `Retry-After` says. Nothing was accepted.',
};

const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });
const schemaOf = (schema: string | JsonSchema): JsonSchema => (typeof schema === 'string' ? ref(schema) : schema);

function componentSchemas(): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>();
  for (const schema of COMPONENTS) registry.add(schema, { id: schema.meta()?.id as string });
  const { schemas } = z.toJSONSchema(registry, {
    target: 'draft-2020-12', io: 'input', uri: (id) => `#/components/schemas/${id}`,
  }) as { schemas: Record<string, JsonSchema> };
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => {
    const { $schema: _schema, $id: _id, ...rest } = schema;
    return [name, rest];
  }));
}

function problemAnswer(status: number): JsonSchema {
  return {
    description: PROBLEMS[status] ?? 'A problem.',
    ...(status === 429 || status === 503
      ? { headers: { 'Retry-After': { description: 'Seconds to wait (RFC 9110 section 10.2.3).', schema: { type: 'integer', minimum: 0 } } } }
      : {}),
    content: { 'application/problem+json': { schema: ref('Problem') } },
  };
}

function operation(route: Route): JsonSchema {
  const responses: Record<string, JsonSchema> = {};
  for (const [status, answer] of Object.entries(route.answers)) {
    responses[status] = {
      description: answer.description,
      ...(answer.schema === undefined ? {} : { content: { [answer.mediaType ?? 'application/json']: { schema: schemaOf(answer.schema) } } }),
    };
  }
  for (const status of [...(route.scope === undefined ? [] : [400, 401, 403, 429, 503]), ...(route.problems ?? [])]) {
    responses[status] ??= problemAnswer(status);
  }
  return {
    operationId: route.operationId,
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    tags: [route.tag],
    ...(route.scope === undefined ? { security: [] } : { security: [{ bearer: [] }], 'x-required-scope': route.scope }),
    ...(route.parameters === undefined ? {} : { parameters: route.parameters }),
    ...(route.body === undefined ? {} : {
      requestBody: {
        required: true,
        content: Object.fromEntries(Object.entries(route.body).map(([type, schema]) => [type, { schema: schemaOf(schema) }])),
      },
    }),
    responses,
  };
}

/** The OpenAPI 3.1 document of the given routes. */
export function openApiDocument(routes: readonly Route[], version = '0.1.0'): JsonSchema {
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method] = operation(route);
  return {
    openapi: '3.1.0',
    info: {
      title: 'agent-audit',
      version,
      summary: 'A flight recorder for AI agents',
      description: 'Every tool call and data access, recorded durably, provably complete, and answerable in seconds.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'A key of one tenant, with scopes.' } },
    },
  };
}
