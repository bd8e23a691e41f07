import type { Investigation, Window } from './investigate.ts';
import { isLeak } from './story.ts';

/** Commands to look further, as they can be pasted into a shell. */
export function nextSteps({ events, proofs, firsts }: Investigation, { from, to }: Window, session: string): string[] {
  const leak = events.find((seen) => isLeak(seen, firsts));
  const culprit = leak?.event.agent.id ?? events[0]?.event.agent.id ?? '';
  const proof = leak && proofs.get(leak.event.event_id);
  return [
    '# All that the agent did, and what is missing',
    `npx agent-audit timeline ${quoted(culprit)} --from ${from} --to ${to}`,
    '# The whole session, for a file; exit 6 says that the record has gaps',
    `npx agent-audit events --session-id ${quoted(session)} --from ${from} --to ${to} --all --json --require-complete > session.ndjson`,
    ...(leak === undefined ? [] : ['# The event of the leak, as it was recorded', `npx agent-audit event ${quoted(leak.event.event_id)}`]),
    ...(proof === undefined ? [] : ['# Why it was new: no earlier event answers this', curl('/v1/events', proof)]),
    '# The same timeline over HTTP',
    curl(`/v1/agents/${encodeURIComponent(culprit)}/timeline`, [['from', from], ['to', to]]),
  ];
}

function curl(path: string, params: readonly (readonly [string, string])[]): string {
  const query = new URLSearchParams(params.map(([name, value]) => [name, value]));
  return `curl -sS -H "Authorization: Bearer $AGENT_AUDIT_KEY" "$AGENT_AUDIT_URL${path}?${query}"`;
}

/** For a shell, where it needs it. */
function quoted(word: string): string {
  return /^[A-Za-z0-9._:/@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
