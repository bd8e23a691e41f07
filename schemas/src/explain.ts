/**
 * Says what is wrong with an event that the compiled validator refused. Slow and thorough, where the
 * validator is fast and terse: zod reports all that is wrong, and a walk over the raw keys finds what zod
 * does not see (it drops a `__proto__` key without a word).
 */
import { z } from 'zod';
import { AuditEvent, kindIssues } from './event.ts';
import { pointer, type FieldError, type FieldErrorCode } from './errors.ts';
import { LENGTHS, MAX_FIELD_ERRORS } from './limits.ts';
import { suggest } from './suggest.ts';

type Path = readonly PropertyKey[];

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function unwrap(schema: unknown): unknown {
  return schema instanceof z.ZodOptional ? unwrap(schema.unwrap()) : schema;
}

/** Calls `visit` for every typed object and string of the event, in order; free-form parts are not entered. */
function walk(schema: unknown, value: unknown, path: Path, visit: (value: unknown, path: Path, fields?: readonly string[]) => void): void {
  const type = unwrap(schema);
  if (type instanceof z.ZodArray) {
    if (Array.isArray(value)) value.slice(0, LENGTHS.resources).forEach((item, i) => walk(type.element, item, [...path, i], visit));
  } else if (type instanceof z.ZodObject) {
    const strict = type.def.catchall instanceof z.ZodNever;
    if (!strict || !isObject(value)) return;
    visit(value, path, Object.keys(type.shape));
    for (const [key, field] of Object.entries(type.shape)) {
      if (Object.hasOwn(value, key)) walk(field, value[key], [...path, key], visit);
    }
  } else if (typeof value === 'string' && !(type instanceof z.ZodUnknown)) {
    visit(value, path);
  }
}

function unknownFields(value: unknown): FieldError[] {
  const errors: FieldError[] = [];
  walk(AuditEvent, value, [], (object, path, fields) => {
    if (!fields) return;
    const known = new Set(fields);
    for (const key of Object.keys(object as object)) {
      if (known.has(key)) continue;
      if (errors.length >= MAX_FIELD_ERRORS) return;
      const meant = suggest(key, fields, path.length === 0);
      const shown = key.length > 64 ? 'with an overlong name' : `\`${key.toWellFormed()}\``;
      errors.push({
        path: pointer([...path, key]),
        code: 'unknown_field',
        message: `unknown field ${shown}${meant ? `; did you mean \`${meant}\`?` : ';'} free-form data goes in \`attributes\``,
      });
    }
  });
  return errors;
}

/** Typed strings that hold a lone surrogate: they could not be written as UTF-8 into a column. */
export function illFormedStrings(value: unknown): FieldError[] {
  const errors: FieldError[] = [];
  walk(AuditEvent, value, [], (text, path, fields) => {
    if (fields || (text as string).isWellFormed() || errors.length >= MAX_FIELD_ERRORS) return;
    errors.push({
      path: pointer(path),
      code: 'invalid_unicode',
      message: 'holds a lone surrogate (\\ud800 to \\udfff without its other half), which is not Unicode text',
    });
  });
  return errors;
}

function at(value: unknown, path: Path): unknown {
  let current = value;
  for (const key of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Record<PropertyKey, unknown>)[key];
  }
  return current;
}

const jsonType = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

function fromIssue(issue: z.core.$ZodIssue, event: unknown): { code: FieldErrorCode; message: string } {
  const value = at(event, issue.path);
  if (value === undefined && issue.path.length > 0 && issue.code !== 'custom') {
    return { code: 'required', message: `\`${String(issue.path.at(-1))}\` is required here` };
  }
  switch (issue.code) {
    case 'invalid_type':
      if (typeof value === 'number') {
        if (!Number.isFinite(value)) return { code: 'too_large', message: 'is a number too large to be carried; send it as a string in `attributes`' };
        if (issue.expected === 'int' || issue.expected === 'number') return { code: 'wrong_type', message: 'must be a whole number' };
      }
      return { code: 'wrong_type', message: `must be ${article(issue.expected)}, not ${jsonType(value)}` };
    case 'invalid_value':
      if (typeof value !== 'string') return { code: 'wrong_type', message: `must be a string, not ${jsonType(value)}` };
      return { code: 'not_allowed', message: `must be one of ${issue.values.map(String).join(', ')}` };
    case 'too_small':
      if (issue.origin === 'string') return { code: 'too_short', message: 'must not be empty; leave the field out when there is nothing to say' };
      if (issue.origin === 'array') return { code: 'too_short', message: `needs at least ${String(issue.minimum)} items` };
      return { code: 'too_small', message: `must be ${String(issue.minimum)} or more` };
    case 'too_big':
      if (issue.origin === 'string') return { code: 'too_long', message: `must have at most ${String(issue.maximum)} characters; longer text goes in \`attributes\`` };
      if (issue.origin === 'array') return { code: 'too_long', message: `must have at most ${String(issue.maximum)} items` };
      return { code: 'too_large', message: `must be ${String(issue.maximum)} or less` };
    case 'invalid_format':
      return {
        code: 'bad_format',
        message: issue.path.at(-1) === 'event_id' ? 'may hold only A-Z a-z 0-9 . _ : -' : 'must not hold control characters (U+0000 to U+001F, U+007F)',
      };
    case 'custom':
      return { code: (issue.params?.['code'] as FieldErrorCode | undefined) ?? 'bad_format', message: issue.message };
    default:
      return { code: 'bad_format', message: issue.message };
  }
}

function article(expected: string): string {
  const name = expected === 'record' ? 'object' : expected === 'int' ? 'whole number' : expected;
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`;
}

/**
 * The event with its longest lists cut just beyond what is allowed: still too long, but a refusal of a
 * hostile event then costs no more than that of an honest one.
 */
function shortened(event: Record<string, unknown>): Record<string, unknown> {
  const { resources, on_behalf_of: chain } = event;
  const copy = { ...event };
  if (Array.isArray(resources)) copy['resources'] = resources.slice(0, LENGTHS.resources + 1);
  if (Array.isArray(chain)) copy['on_behalf_of'] = chain.slice(0, LENGTHS.delegationLinks + 1);
  return copy;
}

/** Everything wrong with `event` that zod and the raw keys can tell, at most `MAX_FIELD_ERRORS`. */
export function explain(event: unknown): FieldError[] {
  if (!isObject(event)) {
    return [{ path: '', code: 'wrong_type', message: `an event must be a JSON object, not ${jsonType(event)}` }];
  }
  const errors: FieldError[] = [];
  const parsed = AuditEvent.safeParse(shortened(event));
  const pairing = kindIssues(event).map(({ field, code, message }): FieldError => ({ path: `/${field}`, code, message }));
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      if (issue.code === 'unrecognized_keys') continue;
      const error = { path: pointer(issue.path), ...fromIssue(issue, event) };
      // zod runs the pairing check only when all else is fine; it is added below in every case.
      if (!error.code.startsWith('kind_')) errors.push(error);
    }
  }
  errors.push(...unknownFields(event), ...pairing, ...illFormedStrings(event));
  return errors.slice(0, MAX_FIELD_ERRORS);
}

/** What zod found wrong with a request of another shape than an event, in the same words and codes. */
export function explainIssues(issues: readonly z.core.$ZodIssue[], value: unknown): FieldError[] {
  return issues.slice(0, MAX_FIELD_ERRORS).flatMap((issue): FieldError[] => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ path: pointer([...issue.path, key]), code: 'unknown_field', message: 'is not known here' }));
    }
    if (issue.code === 'invalid_format') return [{ path: pointer(issue.path), code: 'bad_format', message: `must have the form ${issue.pattern ?? issue.format}` }];
    return [{ path: pointer(issue.path), ...fromIssue(issue, value) }];
  });
}
