import { BodyBudget, collectorRoutes, type CollectorDeps, type RecorderState } from '@agent-audit/collector';
import { queryRoutes, type QueryDeps } from '@agent-audit/query';
import { EVENT_SCHEMA_ID, eventJsonSchema, openApiDocument, ROUTES } from '@agent-audit/schemas';
import { keyRoutes, notFound, OPERATOR_TENANT, Problem, problemHandler, requireScope, type AuthEnv, type Clock, type Config, type Log, type Telemetry } from '@agent-audit/shared';
import { Hono } from 'hono';

export interface AppDeps extends CollectorDeps, Omit<QueryDeps, 'settled'> {
  readonly recorder: { readonly state: RecorderState; settled(): Promise<void> };
  readonly config: Config;
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly clock: Clock;
}

/** The whole HTTP API of one machine. */
export function createApp(deps: AppDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  const answerError = problemHandler(deps.log);
  app.onError((error, c) => {
    const answer = answerError(error, c);
    if (answer.status === 429 || answer.status === 503) deps.telemetry.requestRefused(answer.status);
    return answer;
  });
  app.notFound((c) => noSuchRoute(c.req.method, new URL(c.req.url).pathname));
  app.use(async (c, next) => {
    if (!isDecodable(new URL(c.req.url).pathname)) throw new Problem('invalid_parameter', 'The path is not valid percent-encoded UTF-8 (RFC 3986 section 2.1).');
    await next();
  });
  app.get('/healthz', (c) => c.json({ status: 'alive' }));
  app.get('/readyz', async (c) => {
    const answers = await deps.store.ping();
    const { refusing, waiting, stuck } = deps.recorder.state;
    const broken = deps.proofs?.logs.broken ?? 0;
    const whole = answers && stuck === 0 && broken === 0;
    // Ready is who can take events in. Without its store it still can, and must not lose its senders to a load balancer.
    return c.json(
      {
        status: refusing === undefined ? (whole ? 'ready' : 'degraded') : 'not ready',
        intake: refusing ?? 'open', store: answers ? 'answers' : 'does not answer', segments_waiting: waiting, segments_stuck: stuck, logs_broken: broken,
      },
      refusing === undefined ? 200 : 503,
    );
  });
  app.get('/metrics', requireScope(deps.keys, 'events:read'), async (c) => {
    // They sum up all tenants.
    if (c.get('caller').tenant !== OPERATOR_TENANT) throw new Problem('forbidden', 'Metrics are for keys of the operator.');
    const { text, contentType } = await deps.telemetry.expose();
    return c.body(text, 200, { 'content-type': contentType });
  });
  const openApi = openApiDocument(ROUTES);
  const eventSchema = eventJsonSchema();
  app.get('/openapi.json', (c) => c.json(openApi));
  app.get(EVENT_SCHEMA_ID, (c) => c.json(eventSchema, 200, { 'content-type': 'application/schema+json' }));
  return app.route('/', collectorRoutes({ ...deps, bodies: new BodyBudget(deps.config.MAX_BODIES_BYTES) })).route('/', queryRoutes({ ...deps, settled: () => deps.recorder.settled() })).route('/', keyRoutes(deps.keys, deps.clock));
}

/** hono leaves what it cannot decode as it is; an id with a slip in it would be answered as an id that nobody has. */
function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

/** 405 where the path exists under another method (RFC 9110 section 15.5.6), else 404. */
function noSuchRoute(method: string, path: string): Response {
  const allowed = ROUTES.filter((route) => pattern(route.path).test(path)).map((route) => route.method.toUpperCase());
  if (allowed.length === 0 || allowed.includes(method)) return notFound();
  return new Problem('method_not_allowed', `${method} is not for this path; it takes ${allowed.join(', ')}.`, {}, { allow: allowed.join(', ') }).toResponse();
}

const pattern = (template: string): RegExp => new RegExp(`^${RegExp.escape(template).replaceAll(/\\\{[^}]*\}/g, '[^/]+')}$`);
