import type { Hash } from '../merkle.ts';

/** A checkpoint of a log, to be kept where its holder cannot change it. */
export interface Offered {
  readonly origin: string;
  readonly size: number;
  readonly root: Hash;
  /** The signed note. */
  readonly checkpoint: string;
  /** @returns the proof that the log of `fromSize` entries grew into this one */
  readonly consistency: (fromSize: number) => Promise<readonly Hash[]>;
}

/** A place outside of this host. */
export interface AnchorTarget {
  /** As state and log call it: it holds no secret, and stays the same over restarts. */
  readonly name: string;
  /** Most checkpoints that are under way there at one time, each of another log. */
  readonly concurrency: number;
  /**
   * Resolves when the checkpoint is kept there. The same one may be offered again.
   *
   * @param fromSize what was anchored there before, 0 for nothing
   * @returns signature lines of the checkpoint that are new, each with its newline
   * @throws AnchorError, or a system error
   */
  anchor(offered: Offered, fromSize: number, signal: AbortSignal): Promise<readonly string[]>;
}

export type AnchorErrorCode =
  /** A setting is not what it has to be. */
  | 'anchor_setting'
  /** Nobody answers, or not in time. */
  | 'anchor_unreachable'
  /** The answer is no. */
  | 'anchor_refused'
  /** The answer is none that may be given. */
  | 'anchor_answer'
  /** What was anchored before is not the beginning of this log. */
  | 'anchor_fork';

export class AnchorError extends Error {
  override readonly name = 'AnchorError';
  readonly code: AnchorErrorCode;

  /** @param message never holds a secret */
  constructor(code: AnchorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
