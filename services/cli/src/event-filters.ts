import { FILTERS } from '@agent-audit/schemas';
import type { Command } from 'commander';
import type { Params } from './client.ts';

/** Filters of the API as options: `resource_prefix` is `--resource-prefix`, its negation `--not-resource-prefix`. */
const NAMES: readonly string[] = [...new Set<string>([...FILTERS, 'q'])];

const ABOUT: Readonly<Record<string, string>> = {
  agent_id: 'agent', kind: 'tool_call or data_access', tool: 'name of the tool', server: 'server of the tool', action: 'what was done',
  outcome: 'success, failure, denied, timeout or unknown', principal: 'anyone on whose behalf it was done', session_id: 'session',
  trace_id: 'trace', resource: 'URI of a resource', resource_prefix: 'begin of the URI of a resource', classification: 'label of a resource',
  destination: 'host or address spoken to', q: 'words in arguments, results, attributes and messages',
};

const dashed = (name: string): string => name.replaceAll('_', '-');
/** The name under which commander keeps an option's value. */
const camel = (flag: string): string => flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
const collect = (value: string, before: string[] = []): string[] => [...before, value];

export function addFilters(command: Command, without: readonly string[] = []): Command {
  const names = NAMES.filter((name) => !without.includes(name));
  command.optionsGroup('Filters (repeat one for “or”; different ones mean “and”):');
  for (const name of names) command.option(`--${dashed(name)} <value>`, ABOUT[name] ?? name, collect);
  command.optionsGroup('Filters negated:');
  for (const name of names) command.option(`--not-${dashed(name)} <value>`, `not: ${ABOUT[name] ?? name}`, collect);
  return command;
}

/** The filters as the API's parameters: `--not-tool x` is `-tool=x`. */
export function filterParams(options: Readonly<Record<string, unknown>>): Params {
  const params: (readonly [string, string])[] = [];
  for (const name of NAMES) {
    for (const value of values(options[camel(dashed(name))])) params.push([name, value]);
    for (const value of values(options[camel(`not-${dashed(name)}`)])) params.push([`-${name}`, value]);
  }
  return params;
}

function values(given: unknown): readonly string[] {
  return Array.isArray(given) ? (given as string[]) : [];
}
