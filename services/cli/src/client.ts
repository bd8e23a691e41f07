import type { Connection } from './connection.ts';
import { CliError, EXIT, type ExitCode } from './exit-codes.ts';
import { safe } from './terminal.ts';

/** Longest that an answer may take: a question over a wide window, or a body that has to reach the disk. */
const TIMEOUT_MS = 120_000;

/** The server answered, and it is no success. */
export class AnswerError extends CliError {
  readonly status: number;
  /** The problem's stable code, where the answer is a problem. */
  readonly code: string | undefined;
  /** Seconds that the server asks to wait. */
  readonly retryAfter: number | undefined;
  /** The answer's body: a 422 carries what was rejected. */
  readonly body: string;

  constructor(status: number, message: string, more: { code: string | undefined; retryAfter: number | undefined; body: string }) {
    super(exitCodeOf(status), message);
    this.status = status;
    this.code = more.code;
    this.retryAfter = more.retryAfter;
    this.body = more.body;
  }
}

/** No answer. */
export class UnreachableError extends CliError {
  constructor(message: string, cause: unknown) {
    super(EXIT.unreachable, message, { cause });
  }
}

export function exitCodeOf(status: number): ExitCode {
  if (status === 400) return EXIT.usage;
  if (status === 401 || status === 403) return EXIT.notAllowed;
  if (status === 429 || status >= 500 || status < 400) return EXIT.serverFailed;
  return EXIT.rejected;
}

export type Params = readonly (readonly [name: string, value: string])[];

export interface Request {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly params?: Params;
  readonly body?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks the server. Answers are bytes: who needs the exact text of an event must not lose it on the way. */
export class Client {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get url(): string {
    return this.#connection.url;
  }

  /** @throws AnswerError for anything but a 2xx; UnreachableError */
  async ask(path: string, { method = 'GET', params = [], body, headers = {} }: Request = {}): Promise<Buffer> {
    const { url, key } = this.#connection;
    const query = new URLSearchParams(params.map(([name, value]) => [name, value])).toString();
    let response: Response;
    let bytes: Buffer;
    try {
      response = await fetch(`${url}${path}${query === '' ? '' : `?${query}`}`, {
        method,
        headers: { authorization: `Bearer ${key}`, accept: 'application/json', ...headers },
        ...(body === undefined ? {} : { body }),
        // A redirect would carry the key to wherever it points.
        redirect: 'manual',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      bytes = Buffer.from(await response.arrayBuffer());
    } catch (error) {
      throw new UnreachableError(`cannot reach ${url}: ${whyUnreachable(error)}`, error);
    }
    if (response.ok) return bytes;
    throw answerError(response, bytes.toString('utf8'), url);
  }

  /** The answer as a value; for answers that hold no event. */
  async askJson<T>(path: string, shape: { parse(value: unknown): T }, request?: Request): Promise<T> {
    const text = (await this.ask(path, request)).toString('utf8');
    try {
      return shape.parse(JSON.parse(text));
    } catch (error) {
      throw notOurs(this.url, error);
    }
  }
}

/** A 2xx whose body is not what the API promises. */
export function notOurs(url: string, cause?: unknown): CliError {
  return new CliError(EXIT.serverFailed, `${url} answered with something that is no answer of agent-audit; is the address right?`, { cause });
}

function answerError(response: Response, body: string, url: string): AnswerError {
  const { status } = response;
  const location = response.headers.get('location');
  const problem = readProblem(body);
  const more = { code: problem?.code, retryAfter: retryAfterOf(response.headers.get('retry-after')), body };
  if (status >= 300 && status < 400) {
    return new AnswerError(status, `${url} redirects${location === null ? '' : ` to ${safe(location)}`}; give the final address with --url`, more);
  }
  const said = problem === undefined ? `${url} answered ${status} ${safe(response.statusText)}`.trim() : safe(problem.detail ?? problem.title);
  return new AnswerError(status, said, more);
}

interface ReadProblem {
  readonly title: string;
  readonly detail: string | undefined;
  readonly code: string | undefined;
}

/** Takes only what is needed, so that problems of a newer server can be read. */
function readProblem(body: string): ReadProblem | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { title, detail, code } = value as Record<string, unknown>;
  if (typeof title !== 'string') return undefined;
  return { title, detail: typeof detail === 'string' ? detail : undefined, code: typeof code === 'string' ? code : undefined };
}

/** RFC 9110 section 10.2.3: seconds or a date. */
export function retryAfterOf(header: string | null, nowMs = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, (at - nowMs) / 1000);
}

const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there (is the service started?)',
  ENOTFOUND: 'this host is not known',
  EAI_AGAIN: 'its name cannot be resolved at the moment',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  ETIMEDOUT: 'no answer in time',
  UND_ERR_CONNECT_TIMEOUT: 'no answer in time',
  EHOSTUNREACH: 'there is no way to this host',
  ENETUNREACH: 'there is no way to this network',
};

/** `fetch` hides the reason one or two levels down. */
function whyUnreachable(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const first = at instanceof AggregateError ? at.errors[0] : at;
    const code = (first as NodeJS.ErrnoException).code;
    if (code !== undefined) return NETWORK[code] ?? `${code}: ${(first as Error).message}`;
    if (at.cause === undefined) return at.message;
  }
  return String(error);
}
