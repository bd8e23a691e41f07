import { ID_HASH_BYTES, recordedIdHashes, type Store } from '@agent-audit/queries';
import { eventLayout, type EventTape } from '@agent-audit/schemas';
import { SeenIds } from './seen-ids.ts';

const EVENT_ID = eventLayout().leaf('/event_id');

/** The ids of all that is recorded, as far as it takes to tell what is certainly new. */
export class KnownIds {
  readonly #seen: SeenIds;

  /** @param expected how many there are about to be */
  constructor(expected: number) {
    this.#seen = new SeenIds(expected);
  }

  /** Memory that they take. */
  get bytes(): number {
    return this.#seen.bytes;
  }

  /** Remembers an event's id. @returns true when it is certain that it was not there before */
  add(tenant: string, tape: EventTape, event: number): boolean {
    const at = 2 * (tape.frame(event) + EVENT_ID);
    return this.#seen.add(tenant, tape.source(event), tape.ints[at] as number, tape.ints[at + 1] as number);
  }

  /** Remembers an id. @returns as `add` */
  addId(tenant: string, eventId: string): boolean {
    const bytes = Buffer.from(eventId, 'latin1');
    return this.#seen.add(tenant, bytes, 0, bytes.length);
  }

  /** Remembers all that the store holds. @returns how many @throws StoreError; it may be called again */
  async learn(store: Store, stopped: () => boolean): Promise<number> {
    let ids = 0;
    for await (const chunk of recordedIdHashes(store)) {
      for (let i = 0; i < chunk.length; i += ID_HASH_BYTES) this.#seen.addHashes(chunk.readUInt32LE(i), chunk.readUInt32LE(i + 4));
      if (stopped()) break;
      ids += chunk.length / ID_HASH_BYTES;
    }
    return ids;
  }
}

/** Event ids are ASCII, and never escaped. */
export function eventIdOf(tape: EventTape, event: number): string {
  const at = 2 * (tape.frame(event) + EVENT_ID);
  return Buffer.from(tape.source(event).subarray(tape.ints[at], tape.ints[at + 1])).toString('latin1');
}
