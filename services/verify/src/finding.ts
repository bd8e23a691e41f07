/** What can be wrong. Stable: scripts go by them. */
export const FINDINGS = {
  not_signed: 'the checkpoint is not signed as was asked for',
  not_in_log: 'the event is not in the log as it is shown',
  log_altered: 'hashes of the log are not those that its checkpoint was signed for',
  log_shrunk: 'the log has fewer entries than before, or than its checkpoint says',
  log_rewritten: 'the log does not begin with what it was before',
  edited: 'the event, its event_id or a column is not what was recorded',
  backdated: 'the time of receipt is not what was recorded',
  removed: 'the event is in the log, and not in the record any more',
  added: 'the event is in the record, and the log has no place for it',
  reordered: 'the event stands at the place of another',
  file_altered: 'a file of the bundle is not what the manifest says',
  duplicate: 'the event is listed twice',
  unproven: 'the event comes without what would prove it',
} as const;

export type FindingCode = keyof typeof FINDINGS;

export interface Finding {
  readonly finding: FindingCode;
  /** `<tenant>/<collector>`. */
  readonly log_id?: string;
  readonly log_index?: number;
  readonly event_id?: string;
  /** What exactly, for people; never what an event holds. */
  readonly detail: string;
}

/** What a verification came to. Nothing is wrong when there are no findings. */
export interface Report {
  readonly findings: readonly Finding[];
  /** All, also those beyond the bound that are not listed. */
  readonly findings_total: number;
  /** Numbers and names of what was checked. */
  readonly checked: Readonly<Record<string, string | number>>;
  /** What the verification says nothing about, in sentences. */
  readonly not_checked: readonly string[];
}

/** Findings that are listed; the others are counted. */
export const FINDINGS_MAX = 100_000;

/** Gathers findings up to the bound. */
export class Findings {
  readonly #listed: Finding[] = [];
  total = 0;

  add(finding: Finding): void {
    this.count(1);
    if (this.#listed.length < FINDINGS_MAX) this.#listed.push(finding);
  }

  /** Further ones that nobody can name. */
  count(more: number): void {
    this.total += more;
  }

  report(checked: Report['checked'], notChecked: readonly string[]): Report {
    return { findings: this.#listed.toSorted(byPlace), findings_total: this.total, checked, not_checked: notChecked };
  }
}

function byPlace(a: Finding, b: Finding): number {
  return (a.log_id ?? '').localeCompare(b.log_id ?? '') || (a.log_index ?? -1) - (b.log_index ?? -1);
}

/** Nobody can tell whether it is right: something needed is not there, or cannot be read. */
export class CannotVerify extends Error {
  override readonly name = 'CannotVerify';
}
