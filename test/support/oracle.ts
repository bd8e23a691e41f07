/** What must hold of a record, whatever died in the middle. Every list names what is wrong; all empty means nothing is. */
export interface Verdict {
  /** Acknowledged, but not there. */
  readonly lost: readonly string[];
  /** There more than once. */
  readonly repeated: readonly string[];
  /** There with other bytes than were sent. */
  readonly altered: readonly string[];
  /** There, but never sent. */
  readonly invented: readonly string[];
  /** Ids whose first event gave way to a later one, or whose later ones are not flagged as conflicts. */
  readonly replaced: readonly string[];
  /** Positions of the log that are missing or given out twice: also what is left of a copy that lists hide. */
  readonly holes: readonly string[];
  /** Acknowledged, and taken for new when it was sent again. */
  readonly forgotten: readonly string[];
  /** Refused, but not in quarantine with their bytes. */
  readonly unquarantined: readonly string[];
  /** Windows not said to be complete, although every number was acknowledged. */
  readonly incomplete: readonly string[];
  /** Agents with another number of events than are listed. */
  readonly miscounted: readonly string[];
}

export const NOTHING_WRONG: Verdict = {
  lost: [], repeated: [], altered: [], invented: [], replaced: [], holes: [], forgotten: [], unquarantined: [], incomplete: [], miscounted: [],
};

export function isWrong(verdict: Verdict): boolean {
  return Object.values(verdict).some((named: readonly string[]) => named.length > 0);
}

/** One verdict out of several; what two of them name is named once. */
export function together(verdicts: readonly Partial<Verdict>[]): Verdict {
  const names = Object.keys(NOTHING_WRONG) as (keyof Verdict)[];
  return Object.fromEntries(names.map((name) => [name, [...new Set(verdicts.flatMap((verdict) => verdict[name] ?? []))]])) as unknown as Verdict;
}

/** An event as an answer showed it. */
export interface Seen {
  readonly id: string;
  readonly raw: string;
}

interface Sent {
  readonly window: number;
  /** Moments are counted, not measured: what is compared is only which came first. */
  readonly sentAt: number;
  acknowledgedAt: number | undefined;
}

/** Knows every event of one tenant that was sent, and every acknowledgement that came back. */
export class Oracle {
  /** By id and bytes: one id may be sent with several. */
  readonly #sent = new Map<string, Map<string, Sent>>();
  readonly #refused = new Set<string>();
  #now = 0;
  #sentCount = 0;
  #acknowledgedCount = 0;

  /** Different events that were sent. */
  get sent(): number {
    return this.#sentCount;
  }

  get acknowledged(): number {
    return this.#acknowledgedCount;
  }

  get refused(): number {
    return this.#refused.size;
  }

  /**
   * To be called before the request goes out.
   *
   * @param window in which the event will be found, for checks of one window
   */
  sends(id: string, raw: string, window = 0): void {
    const ofId = this.#sent.get(id) ?? new Map<string, Sent>();
    this.#sent.set(id, ofId);
    if (ofId.has(raw)) return;
    ofId.set(raw, { window, sentAt: this.#now++, acknowledgedAt: undefined });
    this.#sentCount++;
  }

  acknowledges(id: string, raw: string): void {
    const sent = this.#sent.get(id)?.get(raw);
    if (sent === undefined) throw new Error(`${id} was never sent with these bytes`);
    if (sent.acknowledgedAt !== undefined) return;
    sent.acknowledgedAt = this.#now++;
    this.#acknowledgedCount++;
  }

  isAcknowledged(id: string, raw: string): boolean {
    return this.#sent.get(id)?.get(raw)?.acknowledgedAt !== undefined;
  }

  /** The service said that it keeps these bytes in quarantine. */
  refuses(raw: string): void {
    this.#refused.add(raw);
  }

  /** Ids that were sent with more than one text. */
  conflicting(): string[] {
    return [...this.#sent].filter(([, texts]) => texts.size > 1).map(([id]) => id);
  }

  /**
   * @param shown everything that is listed
   * @param window what is listed is only this window
   */
  check(shown: readonly Seen[], window?: number): Pick<Verdict, 'lost' | 'repeated' | 'altered' | 'invented'> {
    const times = new Map<string, Map<string, number>>();
    for (const { id, raw } of shown) {
      const ofId = times.get(id) ?? new Map<string, number>();
      times.set(id, ofId);
      ofId.set(raw, (ofId.get(raw) ?? 0) + 1);
    }
    const altered = [...times].filter(([id, texts]) => this.#sent.has(id) && texts.keys().some((raw) => !this.#sent.get(id)?.has(raw))).map(([id]) => id);
    return {
      // What is there with other bytes is altered, not lost.
      lost: this.#acknowledgedIn(window).filter(({ id, raw }) => times.get(id)?.has(raw) !== true && !altered.includes(id)).map(({ id }) => id),
      repeated: [...times].filter(([, texts]) => texts.values().some((n) => n > 1)).map(([id]) => id),
      altered,
      invented: [...times.keys()].filter((id) => !this.#sent.has(id)),
    };
  }

  /**
   * What is recorded under one id.
   *
   * @param first what is shown as the event itself
   * @param others what is shown as conflicts with it
   */
  checkId(id: string, first: Seen & { readonly conflict: boolean }, others: readonly (Seen & { readonly conflict: boolean })[]): Partial<Verdict> {
    const { lost, repeated, altered, invented } = this.check([first, ...others]);
    const mine = (named: readonly string[]): string[] => named.filter((name) => name === id);
    const flagged = !first.conflict && others.every(({ conflict }) => conflict);
    return { lost: mine(lost), repeated, altered, invented, replaced: flagged && this.#mayBeFirst(id, first.raw) ? [] : [id] };
  }

  checkQuarantine(texts: ReadonlySet<string>): Pick<Verdict, 'unquarantined'> {
    return { unquarantined: [...this.#refused].filter((raw) => !texts.has(raw)) };
  }

  /** False where another text of the id was acknowledged before this one was sent. */
  #mayBeFirst(id: string, raw: string): boolean {
    const texts = this.#sent.get(id);
    const sentAt = texts?.get(raw)?.sentAt ?? 0;
    return texts === undefined || !texts.values().some(({ acknowledgedAt }) => acknowledgedAt !== undefined && acknowledgedAt < sentAt);
  }

  #acknowledgedIn(window: number | undefined): Seen[] {
    const found: Seen[] = [];
    for (const [id, texts] of this.#sent) {
      for (const [raw, sent] of texts) if (sent.acknowledgedAt !== undefined && (window === undefined || window === sent.window)) found.push({ id, raw });
    }
    return found;
  }
}

/** The positions of logs, which are counted from 0 without holes. */
export class Positions {
  readonly #taken = new Map<string, Set<number>>();
  readonly #twice: string[] = [];

  take(logId: string, index: number): void {
    const taken = this.#taken.get(logId) ?? new Set();
    this.#taken.set(logId, taken);
    if (taken.has(index)) this.#twice.push(`${logId} ${index} twice`);
    taken.add(index);
  }

  /** What is wrong with all that were taken so far. */
  check(): Pick<Verdict, 'holes'> {
    return { holes: [...this.#twice, ...[...this.#taken].flatMap(([logId, taken]) => missing(taken).map((index) => `${logId} ${index} missing`))] };
  }
}

function missing(taken: ReadonlySet<number>): number[] {
  const absent: number[] = [];
  for (let index = 0, left = taken.size; left > 0; index++) {
    if (taken.has(index)) left--;
    else absent.push(index);
  }
  return absent;
}
