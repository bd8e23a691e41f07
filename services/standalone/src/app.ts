import { collectorRoutes, type CollectorDeps } from '@agent-audit/collector';
import { queryRoutes, type QueryDeps } from '@agent-audit/query';
import { EVENT_SCHEMA_ID, eventJsonSchema, openApiDocument, ROUTES } from '@agent-audit/schemas';
import { keyRoutes, notFound, OPERATOR_TENANT, Problem, problemHandler, requireScope, type AuthEnv, type Log, type Telemetry } from '@agent-audit/shared';
import { Hono } from 'hono';

export interface AppDeps extends CollectorDeps, QueryDeps {
  readonly telemetry: Telemetry;
  readonly log: Log;
}

/** The whole HTTP API of one machine. */
export function createApp(deps: AppDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  app.onError(problemHandler(deps.log));
  app.notFound(notFound);
  app.get('/healthz', (c) => c.json({ status: 'alive' }));
  app.get('/readyz', async (c) => {
    const ready = await deps.store.ping();
    return c.json({ status: ready ? 'ready' : 'not ready', store: ready ? 'answers' : 'does not answer' }, ready ? 200 : 503);
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
  return app.route('/', collectorRoutes(deps)).route('/', queryRoutes(deps)).route('/', keyRoutes(deps.keys, deps.clock));
}
