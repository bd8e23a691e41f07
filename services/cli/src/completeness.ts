import type { Completeness, EmitterCompleteness } from '@agent-audit/schemas';
import { safe } from './terminal.ts';

const EMITTERS_SHOWN = 5;
const RANGES_SHOWN = 5;

/** What is known to be missing, in one line. */
export function completenessLine(known: Completeness): string {
  return `${verdict(known)}${remarks(known)} (as of ${timeOf(known.as_of)} UTC)`;
}

function verdict({ status, emitters, quarantined }: Completeness): string {
  if (status === 'complete') {
    return `Complete: no sequence number is missing from ${emitters.length === 1 ? nameOf(emitters[0] as EmitterCompleteness) : `any of ${emitters.length} emitters`}`;
  }
  if (status === 'gaps') {
    return `Gaps: ${firstOf(emitters.filter(({ missing }) => missing.length > 0), (emitter) => `${nameOf(emitter)} missing ${ranges(emitter.missing)}`)}`;
  }
  if (quarantined > 0) return 'Unknown: events that were refused may belong to this window';
  const silent = emitters.filter(({ state }) => state === 'silent');
  if (silent.length > 0) return `Unknown: overdue since ${firstOf(silent, (emitter) => `${timeOf(emitter.heartbeat?.due_at ?? '')} is a heartbeat of ${nameOf(emitter)}`)}`;
  const twice = emitters.filter(({ duplicated }) => duplicated.length > 0);
  if (twice.length > 0) return `Unknown: several events carry the same numbers: ${firstOf(twice, (emitter) => `${nameOf(emitter)} ${ranges(emitter.duplicated, 'number')}`)}`;
  if (emitters.length === 0) return 'Unknown: no event of this window carries a sequence number, so nothing proves that none is missing';
  return 'Unknown: nothing is known to be missing, but some events carry no sequence number';
}

function firstOf(emitters: readonly EmitterCompleteness[], say: (emitter: EmitterCompleteness) => string): string {
  return [...emitters.slice(0, EMITTERS_SHOWN).map(say), ...more(emitters.length - EMITTERS_SHOWN, 'emitter')].join('; ');
}

function nameOf({ emitter, instance_id: instance }: EmitterCompleteness): string {
  return instance === null ? safe(emitter) : `${safe(emitter)} (${safe(instance)})`;
}

/** The first few, and how many numbers are in all. */
export function ranges(list: EmitterCompleteness['missing'], what = 'event'): string {
  const shown = list.slice(0, RANGES_SHOWN).map(([from, to]) => (from === to ? String(from) : `${from}–${to}`));
  const numbers = list.reduce((sum, [from, to]) => sum + (to - from + 1), 0);
  return `${[...shown, ...more(list.length - RANGES_SHOWN, 'range')].join(', ')} (${plural(numbers, what)})`;
}

function remarks({ quarantined, late, conflicts, downtime }: Completeness): string {
  const parts = [
    ...(quarantined > 0 ? [`${quarantined} refused (see agent-audit quarantine)`] : []),
    ...(late > 0 ? [`${late} received late`] : []),
    ...(conflicts > 0 ? [`${plural(conflicts, 'conflict')} over an event_id`] : []),
    ...(downtime.length > 0 ? [`nothing was taken in during ${plural(downtime.length, 'interval')} (see agent-audit completeness)`] : []),
  ];
  return parts.map((part) => `; ${part}`).join('');
}

/** To the second. */
export function timeOf(time: string): string {
  return safe(time.slice(0, 19).replace('T', ' '));
}

function more(count: number, what: string): string[] {
  return count > 0 ? [`${plural(count, `more ${what}`)}`] : [];
}

export function plural(count: number, what: string, many = `${what}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? what : many}`;
}
