import { NoteError } from './note.ts';

const FIRST_LINE = 'agent-audit erasure v1';
const RANGE = /^(\d{1,15})-(\d{1,15})$/;

/** Why the bytes of some events of a log are gone. Signed as a note under the log's name. */
export interface ErasureStatement {
  /** Of the log. */
  readonly origin: string;
  /** Places in the log, [from, to], both included, in order. */
  readonly ranges: readonly (readonly [number, number])[];
  /** Who, such as `key:<id>`. */
  readonly by: string;
  /** RFC 3339. */
  readonly at: string;
  readonly reason: string;
}

/** Consecutive places, put together. */
export function rangesOf(places: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const place of places.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && place <= last[1] + 1) last[1] = place;
    else ranges.push([place, place]);
  }
  return ranges;
}

/**
 * The text that is signed. Its first line has spaces, which no log's name has: no checkpoint can be taken for it.
 */
export function erasureText({ origin, ranges, by, at, reason }: ErasureStatement): string {
  return [FIRST_LINE, origin, `places ${ranges.map(([from, to]) => `${from}-${to}`).join(',')}`, `by ${JSON.stringify(by)}`, `at ${at}`, `reason ${JSON.stringify(reason)}`, ''].join('\n');
}

/** @param text of a note that was verified @throws NoteError where it is no erasure */
export function parseErasure(text: string): ErasureStatement {
  const [first, origin, places, by, at, reason, ...rest] = text.split('\n');
  const ranges = places?.startsWith('places ') === true ? places.slice('places '.length).split(',').map((range) => RANGE.exec(range)) : [null];
  if (first !== FIRST_LINE || origin === undefined || by?.startsWith('by ') !== true || at?.startsWith('at ') !== true || reason?.startsWith('reason ') !== true || rest.join() !== '' || ranges.includes(null)) {
    throw new NoteError('the text is not an erasure');
  }
  return {
    origin, ranges: ranges.map((range) => [Number(range?.[1]), Number(range?.[2])] as const), by: textOf(by.slice('by '.length)), at: at.slice('at '.length), reason: textOf(reason.slice('reason '.length)),
  };
}

/** Whether a place is among those of an erasure. */
export function covers({ ranges }: ErasureStatement, place: number): boolean {
  return ranges.some(([from, to]) => place >= from && place <= to);
}

function textOf(json: string): string {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === 'string') return value;
  } catch {
    // Told below.
  }
  throw new NoteError('the text is not an erasure');
}
