/**
 * Decides whether a parsed value is an event. A validator compiled by ajv from the JSON Schema decides,
 * because every event passes here; zod explains, for the few that are refused.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import type { AuditEvent } from './event.ts';
import type { FieldError, FieldErrorCode } from './errors.ts';
import { explain, illFormedStrings } from './explain.ts';
import { eventJsonSchema } from './json-schema.ts';
import { MAX_FIELD_ERRORS } from './limits.ts';
import { parseTime } from './time.ts';

export type ValidationResult =
  | { readonly ok: true; readonly event: AuditEvent }
  | { readonly ok: false; readonly errors: readonly FieldError[] };

export interface ValidateOptions {
  /**
   * True when the event's text holds a `\ud800` to `\udfff` escape (the scanner knows): typed strings are
   * then checked for lone surrogates. Text decoded from UTF-8 without such an escape cannot hold any, and
   * the check costs more than all the rest. Default false.
   */
  readonly mayHoldLoneSurrogates?: boolean;
}

/**
 * Two compilations of the same schema. JSON Schema counts lengths in code points, which costs more than
 * half of the time; `quick` counts UTF-16 units instead. A string never has fewer units than code points
 * and no bound asks for more than one, so what `quick` accepts is accepted; what it refuses, `exact` decides.
 */
interface Validators {
  readonly quick: ValidateFunction;
  readonly exact: ValidateFunction;
}

let compiled: Validators | undefined;

function compile(unicode: boolean): ValidateFunction {
  const ajv = new Ajv2020({
    unicode,
    // ajv warns that counting units departs from JSON Schema; that is why `exact` has the last word.
    logger: false,
    strict: true,
    // These two complain of `if`/`then` that lean on types given elsewhere in the same schema.
    strictTypes: false,
    strictRequired: false,
    formats: {
      'date-time': { type: 'string', validate: (text: string) => parseTime(text).ok },
      ipv4: { type: 'string', validate: isIPv4 },
      ipv6: { type: 'string', validate: (text: string) => isIPv6(text) && !text.includes('%') },
    },
  });
  return ajv.compile(eventJsonSchema());
}

const CODES: Readonly<Record<string, FieldErrorCode>> = {
  required: 'required', additionalProperties: 'unknown_field', type: 'wrong_type', enum: 'not_allowed', const: 'not_allowed',
  minLength: 'too_short', maxLength: 'too_long', minItems: 'too_short', maxItems: 'too_long', minimum: 'too_small', maximum: 'too_large',
};

function fromAjv(error: ErrorObject): FieldError {
  return {
    path: error.instancePath,
    code: CODES[error.keyword] ?? 'bad_format',
    message: error.message ?? 'does not match the event schema',
  };
}

/**
 * Checks a value that came from `JSON.parse`. On success `event` is the very same value: nothing is copied,
 * filled in or stripped.
 */
export function validateEvent(value: unknown, options?: ValidateOptions): ValidationResult {
  const { quick, exact } = (compiled ??= { quick: compile(false), exact: compile(true) });
  if (quick(value) || exact(value)) {
    if (options?.mayHoldLoneSurrogates !== true) return { ok: true, event: value as AuditEvent };
    const errors = illFormedStrings(value);
    return errors.length === 0 ? { ok: true, event: value as AuditEvent } : { ok: false, errors };
  }
  const refused = exact.errors ?? [];
  const errors = explain(value);
  // A refusal without a reason would be useless to the sender: should zod find nothing, ajv's words do.
  if (errors.length > 0) return { ok: false, errors };
  return { ok: false, errors: refused.slice(0, MAX_FIELD_ERRORS).map(fromAjv) };
}
