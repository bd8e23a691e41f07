import { at, HOUR, NOON, toolCall } from './events.ts';
import type { Random } from './random.ts';

/** In every event's arguments, so that a log can be searched for it. */
export const CONTENT = 'confidential-content-of-an-event';

/** One line of a body. */
export interface Line {
  readonly raw: string;
  /** Undefined where the line is not a valid event and must be refused. */
  readonly id: string | undefined;
  /** In which the event happened, by its own word. */
  readonly window: number;
}

/** The hour in which events of a window happen, as [from, to) in nanoseconds since the epoch. */
export function windowOf(window: number): [from: bigint, to: bigint] {
  const from = NOON + BigInt(window) * HOUR;
  return [from, from + HOUR];
}

const MILLISECOND = 1_000_000n;
/** Events of an hour are told apart by milliseconds. */
const HOUR_MS = 3_600_000;
/** Lines that may be sent again. */
const HISTORY_MAX = 400;

/** Makes the events of one emitter, with what producers do to a record: repeats, conflicts and events that are none. */
export class EmitterEvents {
  readonly #emitter: string;
  readonly #tenant: string;
  readonly #random: Random;
  readonly #history: Line[] = [];
  #sequence = 0;
  #broken = 0;

  constructor(tenant: string, emitter: string, random: Random) {
    this.#tenant = tenant;
    this.#emitter = emitter;
    this.#random = random;
  }

  /** The lines of one request. Valid ones are new but for a few. */
  batch(window: number, countMax: number): Line[] {
    const lines: Line[] = [];
    for (let left = 1 + this.#random.int(countMax); left > 0; left--) {
      const dice = this.#random.next();
      const old = this.#random.chance(0.3) ? this.#random.pick([...this.#history.slice(-countMax), ...lines]) : this.#random.pick(this.#history);
      // The very bytes again: of this request, of the last or of one long ago.
      if (dice < 0.06 && old?.id !== undefined) lines.push(old);
      else if (dice < 0.09 && old?.id !== undefined) lines.push(this.#event(window, old.id));
      else if (dice < 0.11) lines.push(this.#notAnEvent(window));
      else lines.push(this.#event(window));
    }
    this.#history.push(...lines);
    if (this.#history.length > HISTORY_MAX) this.#history.splice(0, this.#history.length - HISTORY_MAX);
    return lines;
  }

  /** @param id an id that was used before, for a conflict */
  #event(window: number, id?: string): Line {
    const sequence = this.#sequence++;
    // Nearly in order, as several threads of one process report.
    const ms = BigInt((sequence * 10 + this.#random.int(200)) % HOUR_MS);
    const event = toolCall({
      event_id: id ?? `${this.#emitter}-${sequence}`,
      time: at(windowOf(window)[0] + ms * MILLISECOND),
      agent: { id: `agent-${this.#random.int(4)}` },
      tool: { name: 'search', arguments: { q: CONTENT, tenant: this.#tenant, n: sequence } },
      source: { emitter: this.#emitter, sequence },
    });
    return { raw: JSON.stringify(event), id: event.event_id, window };
  }

  #notAnEvent(window: number): Line {
    const n = this.#broken++;
    const id = `${this.#emitter}-broken-${n}`;
    const { action: _, ...withoutAction } = toolCall({ event_id: id, tool: { name: 'search', arguments: { q: CONTENT } } });
    const whole = JSON.stringify(toolCall({ event_id: id }));
    const raw = this.#random.pick([JSON.stringify(withoutAction), whole.slice(0, -3), `${whole.slice(0, -1)},"event_id":"${id}"}`, JSON.stringify({ ...JSON.parse(whole), unknown: n })]);
    return { raw, id: undefined, window };
  }
}
