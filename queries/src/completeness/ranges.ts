/** Inclusive at both ends. */
export type Range = readonly [from: number, to: number];

/** @param numbers ascending, distinct */
export function toRuns(numbers: readonly number[]): Range[] {
  return joined(numbers.map((number) => [number, number]));
}

/** @param ranges ascending, disjoint. @returns the same numbers in as few ranges as can be */
export function joined(ranges: readonly Range[]): Range[] {
  const runs: [number, number][] = [];
  for (const [from, to] of ranges) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] + 1 === from) run[1] = to;
    else runs.push([from, to]);
  }
  return runs;
}

/**
 * The holes between runs that overlap or touch [first, last].
 *
 * @param runs ascending, disjoint, inclusive
 */
export function holes(runs: readonly Range[], span: { readonly first: number; readonly last: number }): Range[] {
  const missing: Range[] = [];
  let end: number | undefined;
  for (const [from, to] of runs) {
    if (end !== undefined && from > end + 1) {
      const hole: Range = [end + 1, from - 1];
      if (hole[1] >= span.first - 1 && hole[0] <= span.last + 1) missing.push(hole);
    }
    end = to;
  }
  return missing;
}

/** What of the ranges lies in [first, last]. */
export function within(ranges: readonly Range[], { first, last }: { readonly first: number; readonly last: number }): Range[] {
  return ranges.filter(([from, to]) => to >= first && from <= last).map(([from, to]) => [Math.max(from, first), Math.min(to, last)]);
}

/**
 * Runs as `holes` takes them, with empty ones before and behind what was announced beyond the recorded numbers: no
 * later event shows that hole.
 */
export function withAnnounced(runs: readonly Range[], announced: Range | undefined): readonly Range[] {
  if (announced === undefined) return runs;
  const [lowest, highest] = announced;
  const first = runs[0]?.[0] ?? highest + 1;
  const last = runs.at(-1)?.[1] ?? lowest - 1;
  return [...(lowest < first ? [[lowest - 1, lowest - 1] as const] : []), ...runs, ...(highest > last ? [[highest + 1, highest + 1] as const] : [])];
}
