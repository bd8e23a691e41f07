/** Events as a busy fleet sends them: 612 bytes of JSON each, from agents with very different loads. */

const EVENT_BYTES = 612;
const TOOLS = ['db.query', 'files.read', 'http.get', 'crm.lookup', 'mail.send', 'tickets.search'] as const;
const pad = (n: number, width: number): string => String(n).padStart(width, '0');

/**
 * Event `n` of run `run`, always the same bytes for the same numbers. One emitter per 40 agents, with sequence
 * numbers as they should be.
 *
 * @param startMs time of the first event, milliseconds since the Unix epoch; events are 10 ms apart
 */
export function lifelikeEvent(run: string, n: number, startMs: number): string {
  // Few agents do most of the work.
  const agent = Math.floor(400 * ((n * 2_654_435_761) % 1_000_003 / 1_000_003) ** 3);
  const tool = TOOLS[n % TOOLS.length] as string;
  const event = {
    event_id: `${run}-${pad(n, 10)}`,
    time: new Date(startMs + n * 10).toISOString().replace('Z', `${pad(n % 1000, 3)}Z`),
    kind: 'tool_call',
    agent: { id: `agent-${pad(agent, 4)}`, name: 'support-triage', version: '4.2.1', model: { provider: 'example', id: 'large-2' } },
    session_id: `s-${Math.floor(n / 50)}`,
    trace_id: pad(n, 32),
    span_id: pad(n, 16),
    on_behalf_of: [{ type: 'user', id: `user-${n % 97}`, delegation_id: `d-${n % 97}` }],
    tool: { name: tool, server: 'tools.internal', arguments: { id: n, q: '' } },
    action: 'query',
    outcome: { status: n % 50 === 0 ? 'failure' : 'success' },
    duration_ms: n % 400,
    source: { emitter: `gateway-${Math.floor(agent / 40)}`, vantage: 'gateway' },
  };
  const missing = EVENT_BYTES - Buffer.byteLength(JSON.stringify(event));
  event.tool.arguments.q = 'order refund status for the customer of this ticket '.repeat(8).slice(0, Math.max(0, missing));
  return JSON.stringify(event);
}
