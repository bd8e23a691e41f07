import { utc, type Client, type Params } from '@agent-audit/cli';
import { find, findAll, isKnown } from './api.ts';
import { probesOf, type Probe } from './novelty.ts';
import type { Findings, Past } from './story.ts';

/** How far back "for the first time" looks. */
export const HISTORY = '-30d';
const PROBES_AT_A_TIME = 8;

export interface Window {
  readonly from: string;
  readonly to: string;
}

export interface Investigation extends Findings {
  /** The question whose answer, empty, says that something was new; per event_id. */
  readonly proofs: ReadonlyMap<string, Params>;
}

/** Asks the record what happened in a session, what was new about it, and what is missing. */
export async function investigate(client: Client, session: string, { from, to }: Window, atLeast: number): Promise<Investigation> {
  const window: Params = [['from', from], ['to', to]];
  const { events } = await findAll(client, [...window, ['session_id', session]], atLeast);
  const agents = [...new Set(events.map(({ event }) => event.agent.id))];
  // Completeness is about emitters: asked for these agents, it is about theirs and nobody else's.
  const { completeness } = await find(client, [...window, ...agents.map((id) => ['agent_id', id] as const)]);

  const past = new Map<string, Past>();
  for (const id of agents) {
    const { events: earlier } = await find(client, [['from', HISTORY], ['to', from], ['agent_id', id]]);
    const [oldest] = earlier;
    past.set(id, { events: earlier.length, since: oldest && utc(oldest.event.time) });
  }

  const firsts = new Map<string, string[]>();
  const proofs = new Map<string, Params>();
  const probes = events.flatMap(({ event }) => probesOf(event).map((probe) => ({ event, probe })));
  const known = await inGroups(probes, PROBES_AT_A_TIME, ({ event, probe }) => isKnown(client, earlierThan(probe, utc(event.time))));
  probes.forEach(({ event, probe }, i) => {
    if (known[i] === true) return;
    firsts.set(event.event_id, [...(firsts.get(event.event_id) ?? []), probe.claim]);
    proofs.set(event.event_id, earlierThan(probe, utc(event.time)));
  });
  return { events, completeness, firsts, past, proofs };
}

function earlierThan(probe: Probe, time: string): Params {
  return [['from', HISTORY], ['to', time], ...probe.params];
}

async function inGroups<T, R>(items: readonly T[], size: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < items.length; i += size) results.push(...(await Promise.all(items.slice(i, i + size).map(work))));
  return results;
}
