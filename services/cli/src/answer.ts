/**
 * Takes list answers apart by byte ranges. What an event holds is never parsed and printed again: numbers beyond
 * 2^53, 1e400 and the order of keys are part of what was recorded.
 */
import { Completeness, memberRange, scanEvent, splitArray, type Range } from '@agent-audit/schemas';

export { onOneLine } from '@agent-audit/schemas';

/** Far beyond what a server may be configured to accept; the scanner needs some bound. */
const NESTING_MAX = 4096;

export interface ListAnswer {
  /** The bytes of each item. */
  readonly items: readonly Buffer[];
  readonly nextCursor: string | null;
  /** Only lists over a window have one. */
  readonly completeness: Completeness | undefined;
}

/** @returns undefined when this is no list answer. */
export function readList(answer: Buffer, name: 'events' | 'agents' | 'entries'): ListAnswer | undefined {
  const whole = { start: 0, end: answer.length };
  const scan = scanEvent(answer, 0, answer.length, NESTING_MAX);
  if (!scan.ok && scan.code === 'malformed_json') return undefined;
  const list = memberRange(answer, whole, name);
  if (list === undefined) return undefined;
  const array = answer.subarray(list.start, list.end);
  const split = splitArray(array, NESTING_MAX);
  if (!split.ok) return undefined;
  const parse = (range: Range | undefined): unknown => (range === undefined ? undefined : JSON.parse(answer.toString('utf8', range.start, range.end)));
  const cursor = parse(memberRange(answer, whole, 'next_cursor'));
  return {
    items: split.elements.map(({ start, end }) => array.subarray(start, end)),
    nextCursor: typeof cursor === 'string' ? cursor : null,
    completeness: Completeness.safeParse(parse(memberRange(answer, whole, 'completeness'))).data,
  };
}

/** The bytes of one member of an object. */
export function member(object: Buffer, name: string): Buffer | undefined {
  const range = memberRange(object, { start: 0, end: object.length }, name);
  return range === undefined ? undefined : object.subarray(range.start, range.end);
}
