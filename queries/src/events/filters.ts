import type { Params } from '../store.ts';

/**
 * What each filter of the query API means in SQL. `any` and `none` are both this condition, over the values
 * given; a value is always bound, never spliced.
 */
const CONDITIONS = {
  agent_id: (p) => `agent_id IN ${p}`,
  kind: (p) => `kind IN ${p}`,
  tool: (p) => `tool_name IN ${p}`,
  server: (p) => `tool_server IN ${p}`,
  action: (p) => `action IN ${p}`,
  outcome: (p) => `outcome_status IN ${p}`,
  principal: (p) => `hasAny(principal_ids, ${p})`,
  session_id: (p) => `session_id IN ${p}`,
  trace_id: (p) => `trace_id IN ${p}`,
  resource: (p) => `hasAny(resource_uris, ${p})`,
  resource_prefix: (p) => `arrayExists(uri -> arrayExists(prefix -> startsWith(uri, prefix), ${p}), resource_uris)`,
  classification: (p) => `hasAny(classifications, ${p})`,
  destination: (p) => `(destination_host IN ${p} OR destination_ip IN ${p})`,
} satisfies Record<string, (placeholder: string) => string>;

export type FilterName = keyof typeof CONDITIONS;

/** `any`: one of these values must match. `none`: none of these may. */
export type Filters = Partial<Record<FilterName, { readonly any: readonly string[]; readonly none: readonly string[] }>>;

/** The filters as SQL conditions with the parameters they name. */
export function filterConditions(filters: Filters): { conditions: string[]; params: Params } {
  const conditions: string[] = [];
  const params: Record<string, readonly string[]> = {};
  for (const name of Object.keys(CONDITIONS) as FilterName[]) {
    const filter = filters[name];
    if (filter === undefined) continue;
    if (filter.any.length > 0) {
      conditions.push(CONDITIONS[name](`{any_${name}: Array(String)}`));
      params[`any_${name}`] = filter.any;
    }
    if (filter.none.length > 0) {
      conditions.push(`NOT ${CONDITIONS[name](`{none_${name}: Array(String)}`)}`);
      params[`none_${name}`] = filter.none;
    }
  }
  return { conditions, params };
}
