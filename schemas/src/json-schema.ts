/** JSON Schema (draft 2020-12) of the event, derived from the zod schema. */
import { z } from 'zod';
import { AuditEvent } from './event.ts';

export type JsonSchema = Record<string, unknown>;

/** Where the collector serves the schema; relative, because a collector does not know its public name. */
export const EVENT_SCHEMA_ID = '/schemas/event.json';

let cached: JsonSchema | undefined;

/** The schema to publish at `/schemas/event.json`. The same object on every call: treat it as read-only. */
export function eventJsonSchema(): JsonSchema {
  if (!cached) {
    const { $schema, ...rest } = z.toJSONSchema(AuditEvent, { target: 'draft-2020-12', io: 'input' }) as JsonSchema;
    cached = { $schema, $id: EVENT_SCHEMA_ID, ...rest };
  }
  return cached;
}
