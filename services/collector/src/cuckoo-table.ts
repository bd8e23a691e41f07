const BUCKET = 4;
const WORDS = 3;
const MARK = 0xff_ffff;
const STEPS_MAX = 200;

/** The slots of the marks that an insertion put aside, so that it can be taken back. */
const path = new Uint32Array(STEPS_MAX);

/**
 * A set of pairs (place, mark) in three bytes a slot: Fan et al., "Cuckoo Filter: Practically Better Than Bloom" (CoNEXT 2014).
 *
 * Only marks are kept. A mark is in one of two buckets of four, the one that its place says or the *other* one, which is
 * known from the mark and the bucket that it is in: so it can be moved there to make room, though its place is forgotten.
 * Two pairs with one mark and a bucket in common have both in common, and are one.
 *
 * Up to 95 % of the slots an insertion all but always finds room (at 96.2 % one in millions did not).
 */
export class CuckooTable {
  /** A bucket is three words: three marks in their low 24 bits, and a fourth in what is left of them, low byte first. */
  readonly #words: Uint32Array;
  readonly #buckets: number;
  #used = 0;
  #turn = 0;

  constructor(slots: number) {
    this.#buckets = Math.ceil(slots / BUCKET);
    this.#words = new Uint32Array(WORDS * this.#buckets);
  }

  get slots(): number {
    return BUCKET * this.#buckets;
  }

  /** Pairs that it holds. */
  get used(): number {
    return this.#used;
  }

  get bytes(): number {
    return this.#words.byteLength;
  }

  /**
   * @param place 32 bits
   * @param mark 1 to 2^24 - 1
   * @returns true for every pair that was inserted, and for about one in two million others (8 slots x 2^-24)
   */
  has(place: number, mark: number): boolean {
    const bucket = this.#bucketOf(place);
    return this.#holds(bucket, mark) || this.#holds(this.#other(bucket, mark), mark);
  }

  /** Inserts a pair that it does not have. @returns false when there is no room for it; then nothing has changed */
  insert(place: number, mark: number): boolean {
    let bucket = this.#bucketOf(place);
    let homeless = mark;
    let steps = 0;
    if (this.#put(bucket, mark)) return this.#inserted();
    bucket = this.#other(bucket, mark);
    if (this.#put(bucket, mark)) return this.#inserted();
    for (; steps < STEPS_MAX; steps++) {
      for (let i = 0; i < BUCKET; i++) {
        const moved = this.#get(bucket, i);
        if (!this.#put(this.#other(bucket, moved), moved)) continue;
        this.#set(bucket, i, homeless);
        return this.#inserted();
      }
      const i = this.#turn++ % BUCKET;
      path[steps] = BUCKET * bucket + i;
      const evicted = this.#get(bucket, i);
      this.#set(bucket, i, homeless);
      homeless = evicted;
      bucket = this.#other(bucket, homeless);
    }
    while (steps-- > 0) {
      const slot = path[steps] as number;
      const back = this.#get(slot >>> 2, slot & 3);
      this.#set(slot >>> 2, slot & 3, homeless);
      homeless = back;
    }
    return false;
  }

  #inserted(): true {
    this.#used++;
    return true;
  }

  #bucketOf(hash: number): number {
    return Math.floor(hash * (this.#buckets / 2 ** 32));
  }

  /** Its own inverse. Not the exclusive or of the paper, since buckets need not be a power of two. */
  #other(bucket: number, mark: number): number {
    const other = this.#bucketOf(Math.imul(mark, 0x9e37_79b1) >>> 0) - bucket;
    return other < 0 ? other + this.#buckets : other;
  }

  #holds(bucket: number, mark: number): boolean {
    const words = this.#words;
    const a = words[WORDS * bucket] as number;
    const b = words[WORDS * bucket + 1] as number;
    const c = words[WORDS * bucket + 2] as number;
    return (a & MARK) === mark || (b & MARK) === mark || (c & MARK) === mark || fourth(a, b, c) === mark;
  }

  #put(bucket: number, mark: number): boolean {
    for (let i = 0; i < BUCKET; i++) {
      if (this.#get(bucket, i) !== 0) continue;
      this.#set(bucket, i, mark);
      return true;
    }
    return false;
  }

  #get(bucket: number, i: number): number {
    const words = this.#words;
    const at = WORDS * bucket;
    return i < WORDS ? (words[at + i] as number) & MARK : fourth(words[at] as number, words[at + 1] as number, words[at + 2] as number);
  }

  #set(bucket: number, i: number, mark: number): void {
    const words = this.#words;
    const at = WORDS * bucket;
    if (i < WORDS) {
      words[at + i] = ((words[at + i] as number) & ~MARK) | mark;
      return;
    }
    words[at] = ((words[at] as number) & MARK) | (mark << 24);
    words[at + 1] = ((words[at + 1] as number) & MARK) | ((mark >>> 8) << 24);
    words[at + 2] = ((words[at + 2] as number) & MARK) | ((mark >>> 16) << 24);
  }
}

const fourth = (a: number, b: number, c: number): number => (a >>> 24) | ((b >>> 24) << 8) | ((c >>> 24) << 16);
