import type { Completeness } from '@agent-audit/schemas';
import { safe } from './terminal.ts';

const EMITTERS_SHOWN = 5;
const RANGES_SHOWN = 5;

/** What is known to be missing, in one line. */
export function completenessLine(known: Completeness): string {
  return `${verdict(known)}${remarks(known)} (as of ${known.as_of.slice(0, 19).replace('T', ' ')} UTC)`;
}

function verdict({ status, emitters, quarantined }: Completeness): string {
  if (status === 'complete') {
    return `Complete: no sequence number is missing from ${emitters.length === 1 ? safe(emitters[0]?.emitter ?? '') : `any of ${emitters.length} emitters`}`;
  }
  if (status === 'gaps') {
    const broken = emitters.filter(({ missing }) => missing.length > 0);
    const shown = broken.slice(0, EMITTERS_SHOWN).map(({ emitter, missing }) => `${safe(emitter)} missing ${ranges(missing)}`);
    return `Gaps: ${[...shown, ...more(broken.length - EMITTERS_SHOWN, 'emitter')].join('; ')}`;
  }
  if (quarantined > 0) return 'Unknown: events that were refused may belong to this window';
  if (emitters.length === 0) return 'Unknown: no event of this window carries a sequence number, so nothing proves that none is missing';
  return 'Unknown: nothing is known to be missing, but some events carry no sequence number';
}

function ranges(missing: readonly (readonly [number, number])[]): string {
  const shown = missing.slice(0, RANGES_SHOWN).map(([from, to]) => (from === to ? String(from) : `${from}–${to}`));
  const events = missing.reduce((sum, [from, to]) => sum + (to - from + 1), 0);
  return `${[...shown, ...more(missing.length - RANGES_SHOWN, 'range')].join(', ')} (${plural(events, 'event')})`;
}

function remarks({ quarantined, late, conflicts }: Completeness): string {
  const parts = [
    ...(quarantined > 0 ? [`${quarantined} refused (see agent-audit quarantine)`] : []),
    ...(late > 0 ? [`${late} received late`] : []),
    ...(conflicts > 0 ? [`${plural(conflicts, 'conflict')} over an event_id`] : []),
  ];
  return parts.map((part) => `; ${part}`).join('');
}

function more(count: number, what: string): string[] {
  return count > 0 ? [`${plural(count, `more ${what}`)}`] : [];
}

export function plural(count: number, what: string, many = `${what}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? what : many}`;
}
