import { NOTHING_WRONG, type Verdict } from '../support/oracle.ts';

/** What a run of faults came to. */
export interface Report {
  readonly seed: number;
  readonly control: string | null;
  readonly seconds: number;
  readonly cycles: Readonly<Record<string, number>>;
  readonly requests: number;
  /** Different events. */
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** Requests that were not acknowledged although they were answered, by status. */
  readonly refusals: Readonly<Record<string, number>>;
  /** How often the service did not start, because its store was not there, and was started again. */
  readonly failedStarts: number;
  readonly wrong: readonly WrongRound[];
}

/** What was wrong in one folder. */
export interface WrongRound {
  readonly house: string;
  readonly kinds: readonly string[];
  readonly verdict: Verdict;
  /** Answers that the contract does not know, secrets in the log, and faults that did not go as they should. */
  readonly others: readonly string[];
  /** Kept to look into; null where it was removed. */
  readonly folder: string | null;
}

/** How many there are of everything that can be wrong. */
export function wrongCounts(report: Report): Record<string, number> {
  const names = Object.keys(NOTHING_WRONG) as (keyof Verdict)[];
  const counts = Object.fromEntries(names.map((name) => [name, total(report.wrong, ({ verdict }) => verdict[name].length)]));
  return { ...counts, others: total(report.wrong, ({ others }) => others.length) };
}

/** For people, at the end of a run. */
export function tableOf(report: Report): string {
  const cycles = Object.values(report.cycles).reduce((sum, n) => sum + n, 0);
  const rows: [string, string | number][] = [
    ['seed', report.seed],
    ['seconds', Math.round(report.seconds)],
    ['cycles', cycles],
    ...Object.entries(report.cycles).map(([kind, n]): [string, number] => [`  ${kind}`, n]),
    ['requests', report.requests],
    ...Object.entries(report.refusals).map(([status, n]): [string, number] => [`  answered ${status}`, n]),
    ['events sent', report.sent],
    ['events acknowledged', report.acknowledged],
    ['events refused', report.refused],
    ['starts without a store', report.failedStarts],
    ...Object.entries(wrongCounts(report)),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

/** A few examples of what is wrong. */
export function examplesOf({ house, kinds, verdict, others, folder }: WrongRound): string {
  const named = [...Object.entries(verdict), ['others', others] as const].filter(([, list]) => list.length > 0);
  const lines = named.map(([name, list]: readonly [string, readonly string[]]) => `  ${name}: ${list.slice(0, EXAMPLES_MAX).join(', ')}${list.length > EXAMPLES_MAX ? ` and ${list.length - EXAMPLES_MAX} more` : ''}`);
  return [`wrong (${house}; ${kinds.join(', ')})${folder === null ? '' : `, kept in ${folder}`}`, ...lines].join('\n');
}

const EXAMPLES_MAX = 5;

function total<T>(of: readonly T[], count: (one: T) => number): number {
  return of.reduce((sum, one) => sum + count(one), 0);
}
