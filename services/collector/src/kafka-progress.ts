/** A piece of a partition that is being recorded. */
interface Piece {
  /** The offset behind its last message. */
  readonly next: bigint;
  recorded: boolean;
}

/**
 * How far one partition is recorded. Pieces of it are recorded side by side and may be done in any order; its offset
 * rises only over pieces that are all done.
 */
export class PartitionProgress {
  readonly topic: string;
  readonly partition: number;
  /** The offset behind the last message that the broker had, as far as we know. */
  end = 0n;
  /** Whether the partition is still ours since its first message was read. */
  readonly isCurrent: () => boolean;
  readonly #pieces: Piece[] = [];
  #recordedTo: bigint;
  #committedTo: bigint;

  /** @param from the offset of its first message that was read, before which all is committed */
  constructor(topic: string, partition: number, from: bigint, isCurrent: () => boolean) {
    this.topic = topic;
    this.partition = partition;
    this.isCurrent = isCurrent;
    this.#recordedTo = from;
    this.#committedTo = from;
  }

  /** @param next the offset behind the last message of the piece, which follows the one before. @returns to be called once it is recorded */
  begin(next: bigint): () => void {
    const piece = { next, recorded: false };
    this.#pieces.push(piece);
    return () => {
      piece.recorded = true;
      while (this.#pieces[0]?.recorded === true) this.#recordedTo = (this.#pieces.shift() as Piece).next;
    };
  }

  /** The offset to commit: everything before it is recorded; undefined where that is known to the broker. */
  get due(): bigint | undefined {
    return this.#recordedTo === this.#committedTo ? undefined : this.#recordedTo;
  }

  committed(offset: bigint): void {
    this.#committedTo = offset;
  }

  /** Messages that are not committed. */
  get lag(): number {
    return Math.max(0, Number(this.end - this.#committedTo));
  }
}
