import { EventTape } from '@agent-audit/schemas';
import type { Recording } from './event-sink.ts';
import type { Refused } from './segments/format.ts';

/** What is recorded as one: large enough that an insert is worth it, small enough that several are under way. */
const CHUNK_MESSAGES = 4_000;
const CHUNK_BYTES = 4 * 1024 * 1024;
/** Each tenant has a tape of its own. */
const CHUNK_TENANTS = 16;
const IDLE_TAPES_MAX = 16;

const idleTapes: EventTape[] = [];

interface Part extends Recording {
  readonly refused: Refused[];
}

/** Messages in a row of one partition, by tenant. */
export class Chunk {
  readonly #parts = new Map<string, Part>();
  bytes = 0;
  messages = 0;

  /** The part of one tenant, made where it is missing. */
  of(tenant: string): Part {
    let part = this.#parts.get(tenant);
    if (part === undefined) {
      part = { tenant, tape: idleTapes.pop() ?? new EventTape(), refused: [] };
      this.#parts.set(tenant, part);
    }
    return part;
  }

  get parts(): Iterable<Recording> {
    return this.#parts.values();
  }

  get full(): boolean {
    return this.messages >= CHUNK_MESSAGES || this.bytes >= CHUNK_BYTES || this.#parts.size >= CHUNK_TENANTS;
  }

  /** Gives the tapes back; only once it need not be recorded again. */
  release(): void {
    for (const { tape } of this.#parts.values()) {
      tape.clear();
      if (idleTapes.length < IDLE_TAPES_MAX) idleTapes.push(tape);
    }
    this.#parts.clear();
  }
}
