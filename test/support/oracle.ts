/** What must hold of a record, whatever died in the middle. Every list names ids; all empty means that nothing is wrong. */
export interface Verdict {
  /** Acknowledged, but not there. */
  readonly lost: readonly string[];
  /** There more than once. */
  readonly repeated: readonly string[];
  /** There with other bytes than were sent. */
  readonly altered: readonly string[];
  /** There, but never sent. */
  readonly invented: readonly string[];
}

export const NOTHING_WRONG: Verdict = { lost: [], repeated: [], altered: [], invented: [] };

/** Knows every event that was sent and every acknowledgement that came back. */
export class Oracle {
  readonly #sent = new Map<string, string>();
  readonly #acknowledged = new Set<string>();

  get sent(): number {
    return this.#sent.size;
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** To be called before the request goes out. */
  sends(id: string, raw: string): void {
    this.#sent.set(id, raw);
  }

  acknowledges(id: string): void {
    this.#acknowledged.add(id);
  }

  check(shown: readonly { readonly id: string; readonly raw: string }[]): Verdict {
    const times = new Map<string, number>();
    for (const { id } of shown) times.set(id, (times.get(id) ?? 0) + 1);
    return {
      lost: [...this.#acknowledged].filter((id) => !times.has(id)),
      repeated: [...times].filter(([, n]) => n > 1).map(([id]) => id),
      altered: shown.filter(({ id, raw }) => this.#sent.has(id) && this.#sent.get(id) !== raw).map(({ id }) => id),
      invented: [...times.keys()].filter((id) => !this.#sent.has(id)),
    };
  }
}
