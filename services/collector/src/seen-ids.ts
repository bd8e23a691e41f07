import { CuckooTable } from './cuckoo-table.ts';
import { murmurHash3, xxHash32 } from './id-hash.ts';

const FIRST_SLOTS = 1 << 16;
/** The slots double up to here, and beyond four times as many grow by a quarter at a time. */
const STEP = 1 << 20;
const FULL = 0.95;
const STRAY_BYTES = 40;
const KEY_BYTES_MAX = 512;

/**
 * Remembers which (tenant, event_id) have been recorded: in 3.2 bytes each when its tables are full, 3.5 on average and
 * 3.9 at most while they grow, from four million on.
 *
 * That an id is new is certain. That it is known may be wrong, once in two million times for each table (8 slots x 2^-24;
 * one table after a start, 16 at twenty million that came since), so it is looked up in the store before anything is
 * decided on it. A lookup for every new event would cost more than all the rest of recording it.
 *
 * One hash chooses the place, 24 bits of another are what is kept there (see `CuckooTable`). A table that is full stays
 * as it is and a further one takes what comes next, since the first hash is not kept to move by.
 */
export class SeenIds {
  /** The newest, which takes ids, comes first: repeats are mostly of what was there a moment ago. */
  readonly #tables: CuckooTable[] = [];
  #slots = 0;
  /**
   * Places of ids for which a table had no room though it was not full. None by chance; but who may record can make up
   * ids that all hash to a few buckets, and each of them must not cost a table.
   */
  readonly #strays = new Set<number>();
  /** Tenant, NUL, event_id: what is hashed. */
  readonly #key = Buffer.alloc(KEY_BYTES_MAX);
  #tenant: string | undefined;
  #prefix = 0;

  constructor(expected = 0) {
    this.#grow(Math.max(FIRST_SLOTS, Math.ceil(expected / FULL)));
  }

  /** Memory that it takes. */
  get bytes(): number {
    return this.#tables.reduce((sum, { bytes }) => sum + bytes, STRAY_BYTES * this.#strays.size);
  }

  /**
   * Remembers an id.
   *
   * @param source holds the event_id in [from, to)
   * @returns true when it is certain that the id was not remembered before
   */
  add(tenant: string, source: Uint8Array, from: number, to: number): boolean {
    if (tenant !== this.#tenant) {
      this.#tenant = tenant;
      // Neither a tenant's name nor an event_id can hold a NUL.
      this.#prefix = this.#key.write(`${tenant}\0`, 'latin1');
    }
    const key = this.#key;
    const at = this.#prefix - from;
    for (let i = from; i < to; i++) key[at + i] = source[i] as number;
    const length = at + to;
    return this.addHashes(xxHash32(key, length), murmurHash3(key, length));
  }

  /** As `add`, with the hashes that the engine computed (see `recordedIdHashes`). */
  addHashes(place: number, kept: number): boolean {
    const mark = markOf(kept);
    for (const table of this.#tables) if (table.has(place, mark)) return false;
    if (this.#strays.size > 0 && this.#strays.has(place)) return false;
    let table = this.#tables[0] as CuckooTable;
    if (table.used >= table.slots * FULL) table = this.#grow(Math.min(this.#slots, Math.max(STEP, this.#slots / 4)));
    if (!table.insert(place, mark)) this.#strays.add(place);
    return true;
  }

  #grow(slots: number): CuckooTable {
    const table = new CuckooTable(slots);
    this.#tables.unshift(table);
    this.#slots += table.slots;
    return table;
  }
}

/** 0 is an empty slot, so no mark may be 0. */
const markOf = (hash: number): number => (hash & 0xff_ffff) || 1;
