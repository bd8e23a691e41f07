import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import * as api from './api.ts';
import { eventJsonSchema } from './json-schema.ts';
import { openApiDocument } from './openapi.ts';
import { ROUTES } from './routes.ts';

type Json = Record<string, unknown>;
const document = openApiDocument(ROUTES);

function* nodes(value: unknown): Generator<Json> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Json;
  for (const inner of Object.values(value)) yield* nodes(inner);
}
const resolve = (ref: string): unknown =>
  ref.slice(2).split('/').reduce<unknown>((node, step) => (node as Json | undefined)?.[step.replaceAll('~1', '/').replaceAll('~0', '~')], document);

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const operations = Object.entries(document['paths'] as Record<string, Record<string, Json>>)
  .flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method, operation })));

describe('openApiDocument', () => {
  it('is plain JSON', () => expect(JSON.parse(JSON.stringify(document))).toEqual(document));

  it('resolves every $ref', () => {
    const refs = [...nodes(document)].flatMap((node) => (typeof node['$ref'] === 'string' ? [node['$ref']] : []));
    expect(refs.length).toBeGreaterThan(20);
    for (const ref of refs) expect([ref, typeof resolve(ref)]).toEqual([ref, 'object']);
  });

  it('has schemas that are JSON Schema 2020-12', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    for (const [name, schema] of Object.entries((document['components'] as Json)['schemas'] as Json)) {
      expect([name, ajv.validateSchema(schema as Json), ajv.errorsText()]).toEqual([name, true, 'No errors']);
    }
  });

  it('describes each operation as OpenAPI 3.1 asks', () => {
    const ids = operations.map(({ operation }) => operation['operationId']);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, method, operation } of operations) {
      expect(METHODS).toContain(method);
      expect(Object.keys(operation['responses'] as Json).every((status) => /^[1-5]\d\d$/.test(status))).toBe(true);
      for (const answer of Object.values(operation['responses'] as Json)) expect(answer).toHaveProperty('description');
      const parameters = (operation['parameters'] ?? []) as { name: string; in: string; required?: boolean }[];
      const inPath = parameters.filter((p) => p.in === 'path');
      expect(inPath.map((p) => `{${p.name}}`)).toEqual(path.match(/\{[^}]+\}/g) ?? []);
      expect(inPath.every((p) => p.required)).toBe(true);
      expect(new Set(parameters.map((p) => `${p.in} ${p.name}`)).size).toBe(parameters.length);
    }
  });

  it('names the scope wherever a key is needed', () => {
    for (const { path, operation } of operations) {
      if (path.startsWith('/v1/')) {
        expect(operation['security']).toEqual([{ bearer: [] }]);
        expect(api.SCOPES).toContain(operation['x-required-scope']);
        expect(operation['responses']).toHaveProperty('401');
      } else {
        expect(operation['security']).toEqual([]);
      }
    }
  });

  it('says of the event what the published schema says', () => {
    const { $schema: _schema, $id: _id, ...published } = eventJsonSchema();
    expect(((document['components'] as Json)['schemas'] as Json)['AuditEvent']).toEqual(published);
  });
});

describe('eventJsonSchema', () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const validate = ajv.compile(eventJsonSchema());
  const base = { event_id: 'e', time: 't', agent: { id: 'a' }, action: 'read', outcome: { status: 'success' } };

  it('holds the pairing of kind by itself', () => {
    expect(validate({ ...base, kind: 'tool_call' })).toBe(false);
    expect(validate({ ...base, kind: 'tool_call', tool: { name: 't' } })).toBe(true);
    expect(validate({ ...base, kind: 'data_access', resources: [] })).toBe(false);
    expect(validate({ ...base, kind: 'data_access', resources: [{ uri: 'u', type: 't' }] })).toBe(true);
  });

  it('describes every field and closes every typed object', () => {
    for (const node of nodes(eventJsonSchema())) {
      if (node['type'] !== 'object' || node['if'] !== undefined || node['properties'] === undefined || node['description'] === undefined) continue;
      for (const [name, field] of Object.entries(node['properties'] as Json)) expect([name, typeof (field as Json)['description']]).toEqual([name, 'string']);
      if (Object.keys(node['properties'] as Json).length > 0) expect(node['additionalProperties']).toBe(false);
    }
  });
});

describe('answers', () => {
  it('take what the API gives', () => {
    expect(api.IngestAnswer.safeParse({ accepted: 1, duplicates: 0, rejected: [{ index: 1, errors: [{ path: '/kind', code: 'required', message: 'm' }] }] }).success).toBe(true);
    expect(api.Completeness.safeParse({
      status: 'gaps', emitters: [{ emitter: 'e', instance_id: null, status: 'gaps', first: 1, last: 9, seen: [[1, 1]], duplicated: [], restarted: false, state: 'active', heartbeat: null, missing: [[3, 4]] }], unnumbered: 0, quarantined: 0, late: 0, conflicts: 0, downtime: [], as_of: '2026-11-22T00:00:00Z',
    }).success).toBe(true);
    expect(api.KeyRequest.safeParse({ name: 'k', scopes: [] }).success).toBe(false);
  });
});
