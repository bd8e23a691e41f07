import { listEvents, Store } from '@agent-audit/queries';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { runService, type BenchService } from './run-service.ts';

export interface TimelineResult {
  readonly stored: number;
  readonly page: number;
  readonly fill_seconds: number;
  readonly bytes_per_event: number;
  readonly agents: readonly AgentResult[];
}

interface AgentResult {
  readonly agent: string;
  readonly events: number;
  readonly window: string;
  readonly p50_ms: number;
  readonly p95_ms: number;
  readonly rows_read_p50: number;
  readonly rows_read_max: number;
}

const PAGE = 100;
const REQUESTS = 200;
const YEAR_S = 365 * 86_400;
const AGENTS = 5_000;

/**
 * (b) A timeline's first page at `stored` events: a busy agent and a quiet one, windows of a day, a month and all
 * of the year at random places. Over HTTP, with the completeness statement in it; rows read as ClickHouse counts
 * them for the page itself.
 */
export async function benchTimeline(stored: number): Promise<TimelineResult> {
  const service = await runService();
  const store = new Store({ url: service.engine.url, username: service.engine.username, password: service.engine.password, database: service.database });
  try {
    const endS = Math.floor(Date.now() / 1000 / 86_400) * 86_400;
    const begin = performance.now();
    await fill(store, stored, endS - YEAR_S);
    const fillSeconds = (performance.now() - begin) / 1000;
    // Months that rest are merged to one part within hours; a benchmark does not wait that long.
    await store.command('OPTIMIZE TABLE events FINAL');
    await mergesIdle(store);
    const [size] = await store.select("SELECT toString(sum(bytes_on_disk) / sum(rows)) AS bytes FROM system.parts WHERE active AND database = currentDatabase() AND table = 'events'", {}, z.object({ bytes: z.string() }));
    const agents: AgentResult[] = [];
    for (const [place, name] of [['1', 'busy'], ['0.3', 'quiet']] as const) {
      const [found] = await store.select(
        'SELECT agent_id, toString(count()) AS events FROM events GROUP BY agent_id ORDER BY count() DESC LIMIT 1 OFFSET toUInt64((1 - {place: Float64}) * (SELECT uniq(agent_id) FROM events))',
        { place }, z.object({ agent_id: z.string(), events: z.string() }),
      );
      if (found === undefined) throw new Error('no agent was found');
      for (const days of [1, 30, 365]) agents.push(await measure(service, store, `${name}: ${found.agent_id}`, found.agent_id, Number(found.events), days, endS));
    }
    return { stored, page: PAGE, fill_seconds: Math.round(fillSeconds), bytes_per_event: Math.round(Number(size?.bytes) * 10) / 10, agents };
  } finally {
    await store.close();
    await service.stop();
  }
}

/** As a service finds its parts that has been running for a while. */
async function mergesIdle(store: Store): Promise<void> {
  for (let tries = 0, quiet = 0; quiet < 5 && tries < 600; tries++) {
    const [state] = await store.select('SELECT count() = 0 AS idle FROM system.merges', {}, z.object({ idle: z.number() }));
    quiet = state?.idle === 1 ? quiet + 1 : 0;
    await sleep(200);
  }
}

async function measure(service: BenchService, store: Store, label: string, agentId: string, events: number, days: number, endS: number): Promise<AgentResult> {
  const times: number[] = [];
  const rows: number[] = [];
  for (let i = 0; i < REQUESTS; i++) {
    const from = endS - YEAR_S + Math.floor(((i * 7919) % REQUESTS) / REQUESTS * (YEAR_S - days * 86_400));
    const to = from + days * 86_400;
    const url = `${service.url}/v1/agents/${agentId}/timeline?from=${new Date(from * 1000).toISOString()}&to=${new Date(to * 1000).toISOString()}&limit=${PAGE}`;
    const begin = performance.now();
    const answer = await fetch(url, { headers: { authorization: `Bearer ${service.key}` } });
    const text = await answer.text();
    times.push(performance.now() - begin);
    if (answer.status !== 200 || !text.includes('"completeness"')) throw new Error(`${answer.status}: ${text.slice(0, 300)}`);
    if (i % 10 === 0) {
      const page = await listEvents(store, {
        tenant: 'default', fromNs: BigInt(from) * 1_000_000_000n, toNs: BigInt(to) * 1_000_000_000n, order: 'asc', limit: PAGE, filters: { agent_id: { any: [agentId], none: [] } },
      });
      rows.push(page.stats.rows_read);
    }
  }
  const p = (values: number[], at: number): number => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * at))] as number;
  return {
    agent: label, events, window: `${days} d`, p50_ms: round(p(times, 0.5)), p95_ms: round(p(times, 0.95)), rows_read_p50: p(rows, 0.5), rows_read_max: Math.max(...rows),
  };
}

/** @internal Made by the engine itself: agents with Zipf-like loads, a year of event times, emitters with whole sequences. */
export async function fill(store: Store, stored: number, startS: number): Promise<void> {
  const chunk = 1_000_000;
  for (let first = 0; first < stored; first += chunk) {
    const count = Math.min(chunk, stored - first);
    await store.command(
      `INSERT INTO events (tenant, received_at, collector_id, log_index, segment_id, flags, event_id, time, kind, action, agent_id, agent_name, agent_version,
         session_id, trace_id, span_id, principal_types, principal_ids, delegation_ids, parent_delegation_ids, tool_name, tool_server, outcome_status, duration_ms, emitter, has_sequence, sequence, raw)
       SELECT 'default', fromUnixTimestamp64Micro(toInt64(intDiv(toUnixTimestamp64Nano(t), 1000) + 50000)), 'bench', n, toUUID('01900000-0000-7000-8000-000000000000'), 0,
         id, t, 'tool_call', 'query', agent, 'support-triage', '4.2.1',
         session, trace, span, ['user'], [concat('user-', toString(n % 97))], [concat('d-', toString(n % 97))], [''], tool, 'tools.internal', if(n % 50 = 0, 'failure', 'success'), n % 400,
         concat('gateway-', toString(n % 50)), true, intDiv(n, 50),
         concat('{"event_id":"', id, '","time":"', formatDateTime(t, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC'), '","kind":"tool_call","agent":{"id":"', agent, '","name":"support-triage","version":"4.2.1"},"session_id":"', session,
           '","trace_id":"', trace, '","span_id":"', span, '","on_behalf_of":[{"type":"user","id":"user-', toString(n % 97), '","delegation_id":"d-', toString(n % 97),
           '"}],"tool":{"name":"', tool, '","server":"tools.internal","arguments":{"id":', toString(n), ',"q":"order refund status for the customer of this ticket ', lower(hex(sipHash128(n))),
           '"}},"action":"query","outcome":{"status":"', if(n % 50 = 0, 'failure', 'success'), '"},"duration_ms":', toString(n % 400), ',"source":{"emitter":"gateway-', toString(n % 50), '","sequence":', toString(intDiv(n, 50)), '}}')
       FROM (
         SELECT {first: UInt64} + number AS n,
           concat('e-', lower(hex(sipHash64(n)))) AS id,
           fromUnixTimestamp64Nano(toInt64({start: Int64} * 1000000000 + n * {step_ns: UInt64} + sipHash64(n) % 1000000)) AS t,
           concat('agent-', leftPad(toString(50 * toUInt32(${AGENTS / 50} * pow((sipHash64(n, 1) % 1000003) / 1000003, 4)) + n % 50), 4, '0')) AS agent,
           concat('s-', toString(intDiv(n, 50))) AS session, lower(hex(sipHash128(intDiv(n, 10)))) AS trace, lower(hex(sipHash64(n, 2))) AS span,
           ['db.query', 'files.read', 'http.get', 'crm.lookup', 'mail.send', 'tickets.search'][1 + n % 6] AS tool
         FROM numbers({count: UInt64})
       )`,
      { first, count, start: startS, step_ns: BigInt(Math.floor((YEAR_S * 1e9) / stored)) },
    );
  }
}

const round = (ms: number): number => Math.round(ms * 10) / 10;
