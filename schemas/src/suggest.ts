/** Finds the field that a sender probably meant. */

/** Names that other systems use for ours; the value is where the data goes here. */
const ALIASES: Readonly<Record<string, string>> = {
  timestamp: 'time', ts: 'time', datetime: 'time', createdat: 'time', starttime: 'time',
  id: 'event_id', uuid: 'event_id', eventtype: 'kind', type: 'kind',
  args: 'tool.arguments', arguments: 'tool.arguments', input: 'tool.arguments', parameters: 'tool.arguments',
  output: 'tool.result', result: 'tool.result', response: 'tool.result',
  status: 'outcome.status', error: 'outcome.message', user: 'on_behalf_of', userid: 'on_behalf_of', principal: 'on_behalf_of',
  metadata: 'attributes', meta: 'attributes', extra: 'attributes', labels: 'attributes', tags: 'attributes', data: 'attributes',
  latencyms: 'duration_ms', durationms: 'duration_ms', model: 'agent.model', sequence: 'source.sequence',
};

const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');

/** Edits (insert, delete, replace) between two short strings. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, replace));
    }
    row = next;
  }
  return row[b.length] as number;
}

/**
 * The known field nearest to `name`, or undefined. `aliases` also looks at names common elsewhere, which
 * makes sense only at the top of the event.
 */
export function suggest(name: string, known: readonly string[], aliases = false): string | undefined {
  if (name.length > 64) return undefined;
  const wanted = plain(name);
  if (wanted.length < 2) return undefined;
  let best: string | undefined;
  let bestScore = Infinity;
  for (const field of known) {
    const have = plain(field);
    let score = have === wanted ? 0 : distance(wanted, have);
    // `toolname` for `tool`, `agents` for `agent`: one name continues the other.
    if (score > 2 && wanted.length >= 4 && have.length >= 4 && (wanted.startsWith(have) || have.startsWith(wanted))) score = 2;
    if (score <= Math.min(2, Math.floor(wanted.length / 3)) && score < bestScore) {
      best = field;
      bestScore = score;
    }
  }
  if (bestScore > 0 && aliases && Object.hasOwn(ALIASES, wanted)) return ALIASES[wanted];
  return best;
}
