import type { Cast } from './cast.ts';
import type { Recorder } from './recorder.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const SHIFTS = 16;
const EVERY_MS = 95 * MINUTE_MS;
/** Quiet before the incident, so that the two do not mix. */
const PAUSE_MS = HOUR_MS;

const HELPDESK = { destination_host: 'helpdesk.example.com', destination_port: 443, protocol: 'https' } as const;
const ARTICLES = ['refunds', 'billing-cycle', 'change-of-address', 'late-fees', 'invoices'];

/** Ordinary days: tickets are listed, read and answered. Nobody touches the customer database. */
export function recordBaseline(recorder: Recorder, cast: Cast, runId: string, startMs: number): void {
  for (let shift = 0; shift < SHIFTS; shift++) {
    const beginMs = startMs - PAUSE_MS - (SHIFTS - shift) * EVERY_MS;
    recordShift(recorder, cast, `session-${runId}-shift-${shift + 1}`, beginMs, shift);
  }
}

function recordShift(recorder: Recorder, cast: Cast, session: string, beginMs: number, shift: number): void {
  const at = (seconds: number): number => beginMs + seconds * 1000 + shift * 37;
  const waiting = 4 + (shift * 5) % 9;
  const assigned = recorder.add(session, {
    atMs: at(0), agent: cast.coordinator, action: 'invoke',
    tool: { name: 'tasks.assign', server: 'mcp://tasks', arguments: { to: cast.triage.id, task: 'Work through the open tickets' } },
  });
  recorder.add(session, {
    atMs: at(4), agent: cast.triage, action: 'list', cause: assigned,
    tool: { name: 'tickets.list', server: 'mcp://helpdesk', arguments: { queue: 'billing', state: 'open' } },
    resources: [{ uri: 'helpdesk://queues/billing', type: 'queue', name: 'queue billing', records: waiting }],
    network: { ...HELPDESK, bytes_out: 310, bytes_in: 1_800 + waiting * 240 },
  });
  for (let n = 0; n < 2 + (shift % 2); n++) {
    const ticket = 4_600 + shift * 4 + n;
    const article = ARTICLES[(shift + n) % ARTICLES.length] as string;
    const read = recorder.add(session, {
      atMs: at(12 + n * 60), agent: cast.triage, action: 'read', cause: assigned,
      tool: { name: 'tickets.read', server: 'mcp://helpdesk', arguments: { ticket }, result: { subject: `Question about ${article}`, body: 'Hello, could you please explain this to me? Thank you.' } },
      resources: [{ uri: `helpdesk://tickets/${ticket}`, type: 'ticket', name: `ticket ${ticket}`, records: 1, bytes: 900 + ((ticket * 31) % 700) }],
      network: { ...HELPDESK, bytes_out: 290, bytes_in: 1_400 },
    });
    recorder.add(session, {
      atMs: at(19 + n * 60), agent: cast.triage, action: 'query', cause: read,
      tool: { name: 'kb.search', server: 'mcp://knowledge', arguments: { words: article } },
      resources: [{ uri: `kb://articles/${article}`, type: 'article', name: `article ${article}`, records: 1 }],
    });
    recorder.add(session, {
      atMs: at(31 + n * 60), agent: cast.drafter, action: 'read', cause: assigned,
      tool: { name: 'kb.template', server: 'mcp://knowledge', arguments: { name: article } },
      resources: [{ uri: `kb://templates/${article}`, type: 'template', name: `template ${article}` }],
    });
    recorder.add(session, {
      atMs: at(44 + n * 60), agent: cast.drafter, action: 'send', cause: read,
      tool: { name: 'tickets.reply', server: 'mcp://helpdesk', arguments: { ticket, template: article } },
      resources: [{ uri: `helpdesk://tickets/${ticket}`, type: 'ticket', name: `ticket ${ticket}` }],
      network: { ...HELPDESK, bytes_out: 1_100 + ((ticket * 17) % 900), bytes_in: 200 },
      // Things fail on ordinary days, too.
      ...(shift === 9 && n === 0 ? { outcome: { status: 'timeout', code: '504', message: 'the help desk did not answer' } as const } : {}),
    });
  }
  recorder.add(session, {
    atMs: at(240), agent: cast.coordinator, action: 'update', cause: assigned,
    tool: { name: 'tasks.complete', server: 'mcp://tasks', arguments: { of: cast.triage.id } },
  });
}
