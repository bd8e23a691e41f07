import type { Context } from 'hono';
import { StoreError } from '@agent-audit/queries';
import type { FieldError } from '@agent-audit/schemas';
import type { Log } from './log.ts';

/** Stable codes of whole-request errors; the HTTP status that goes with each. */
const STATUS = {
  malformed_json: 400,
  invalid_utf8: 400,
  too_deep: 400,
  empty_body: 400,
  malformed_encoding: 400,
  invalid_parameter: 400,
  invalid_cursor: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  proof_pending: 409,
  proof_broken: 409,
  erased: 410,
  body_too_large: 413,
  unsupported_media_type: 415,
  unsupported_encoding: 415,
  rate_limited: 429,
  internal_error: 500,
  unavailable: 503,
} as const satisfies Record<string, number>;

export type ProblemCode = keyof typeof STATUS;

export interface ProblemDetails {
  /** Members beside RFC 9457's own, such as `line`, `offset`, `errors`. */
  readonly [member: string]: unknown;
}

/**
 * An answer that is an error: RFC 9457 problem details with a stable `code`.
 * `detail` is for the caller: what was wrong, where, what to do.
 */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly detail: string;
  readonly members: ProblemDetails;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ProblemCode, detail: string, members: ProblemDetails = {}, headers: Readonly<Record<string, string>> = {}) {
    super(`${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
    this.members = members;
    this.headers = headers;
  }

  get status(): number {
    return STATUS[this.code];
  }

  toResponse(): Response {
    const body = {
      type: 'about:blank',
      title: this.code.replaceAll('_', ' '),
      status: this.status,
      code: this.code,
      detail: this.detail,
      ...this.members,
    };
    return new Response(`${JSON.stringify(body)}\n`, {
      status: this.status,
      headers: { 'content-type': 'application/problem+json', ...this.headers },
    });
  }
}

/** @param errors as `validateEvent` and its like give them */
export function invalidParameter(errors: readonly FieldError[]): Problem {
  return new Problem('invalid_parameter', errors.map(({ path, message }) => `\`${path.slice(1)}\` ${message}`).join('; '), { errors });
}

/** For hono's `onError`: every failure becomes a problem; only what is our fault is logged. */
export function problemHandler(log: Log): (error: Error, c: Context) => Response {
  return (error, c) => {
    if (error instanceof Problem) return error.toResponse();
    if (error instanceof StoreError && error.passing) {
      log.warn({ err: error, path: c.req.path }, 'the store did not answer');
      return new Problem('unavailable', 'The store does not answer at the moment. Try again.', {}, { 'retry-after': '1' }).toResponse();
    }
    log.error({ err: error, path: c.req.path }, 'a request failed');
    return new Problem('internal_error', 'Something went wrong on our side; it is in the log of the service.').toResponse();
  };
}

export function notFound(): Response {
  return new Problem('not_found', 'There is nothing at this path. The routes are listed in /openapi.json.').toResponse();
}
