import { Problem } from '@agent-audit/shared';

/**
 * Bytes of request bodies that may be in memory at one time. Without it, as many clients as there may be
 * connections could each hold a whole body.
 */
export class BodyBudget {
  readonly #max: number;
  #held = 0;

  constructor(maxBytes: number) {
    this.#max = maxBytes;
  }

  /** Bytes of all bodies under way. */
  get held(): number {
    return this.#held;
  }

  /** The share of one body, nothing at first. */
  share(): BodyShare {
    let own = 0;
    return {
      grow: (bytes) => {
        // A body by itself is bounded already, and must be possible however small the budget.
        if (this.#held > own && this.#held + bytes > this.#max) {
          throw new Problem('unavailable', 'Too many bodies are being read at the moment; nothing of this one was accepted. Send it again.', {}, { 'retry-after': '1', connection: 'close' });
        }
        own += bytes;
        this.#held += bytes;
      },
      release: () => {
        this.#held -= own;
        own = 0;
      },
    };
  }
}

export interface BodyShare {
  /** Takes so many bytes more. @throws Problem `unavailable` */
  grow(bytes: number): void;
  /** Gives back all that was taken. */
  release(): void;
}

/** What routes need that read bodies. */
export interface BodyDeps {
  readonly bodies: BodyBudget;
}
