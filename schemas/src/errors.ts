/**
 * What can be wrong with one event, as a closed set: a code is stable and machines may act on it, the
 * message is for people and may change.
 */
export const FIELD_ERROR_CODES = {
  required: 'A required field is absent.',
  unknown_field: 'A field that the envelope does not know. Free-form data goes in `attributes`.',
  wrong_type: 'The value has another JSON type than the field asks for.',
  too_short: 'A string or list is shorter than allowed.',
  too_long: 'A string or list is longer than allowed.',
  too_small: 'A number is below the least allowed.',
  too_large: 'A number is above the greatest allowed, or beyond what JSON numbers carry exactly (2^53 - 1).',
  not_allowed: 'The value is not one of the closed set for this field.',
  bad_format: 'The string does not have the form that the field asks for.',
  invalid_time: 'Not an RFC 3339 timestamp with an offset, or a moment that does not exist.',
  time_out_of_range: 'A moment outside 1900-01-01T00:00:00Z to 2262-04-11T23:47:16.854775807Z.',
  kind_needs_tool: '`kind` is `tool_call` and `tool` is absent.',
  kind_needs_resources: '`kind` is `data_access` and `resources` names nothing.',
  invalid_unicode: 'A typed string or query parameter holds a lone surrogate.',
  duplicate_key: 'An object names the same key twice, so two readers may see two different events.',
  malformed_json: 'Not JSON (RFC 8259).',
  invalid_utf8: 'Bytes that are not UTF-8.',
  too_deep: 'Objects and arrays nest deeper than allowed.',
  too_big: 'More bytes than one event may have.',
  too_many: 'More events than one body may have.',
  unsupported: 'A form of another standard that cannot be recorded as an event.',
} as const;

export type FieldErrorCode = keyof typeof FIELD_ERROR_CODES;

export interface FieldError {
  /** JSON Pointer (RFC 6901) into the event; `''` is the event itself. For query parameters, `/name`. */
  readonly path: string;
  readonly code: FieldErrorCode;
  /** What was wrong and what to do. Never holds the sender's values, only names of fields. */
  readonly message: string;
}

/** One JSON Pointer token. Overlong names are cut and made well formed: an error echoes, it does not relay. */
export function pointerToken(key: string | number): string {
  const text = typeof key === 'number' ? String(key) : key.length > 128 ? `${key.slice(0, 128).toWellFormed()}…` : key.toWellFormed();
  return text.replaceAll('~', '~0').replaceAll('/', '~1');
}

export function pointer(path: readonly PropertyKey[]): string {
  let out = '';
  for (const key of path) out += `/${pointerToken(typeof key === 'symbol' ? String(key) : key)}`;
  return out;
}
