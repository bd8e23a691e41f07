import { murmurHash3, xxHash32 } from './id-hash.ts';

const FIRST_CAPACITY = 1 << 16;
const FULL = 0.7;
const KEY_BYTES_MAX = 512;

interface Table {
  readonly slots: Uint32Array;
  used: number;
}

/**
 * Remembers which (tenant, event_id) have been recorded, in four bytes each and change.
 *
 * That an id is new is certain. That it is known may be wrong, about once in a thousand million times, so it is looked up
 * in the store before anything is decided on it. A lookup for every new event would cost more than all the rest of
 * recording it.
 *
 * One hash chooses the place, another is what is kept there (open addressing, linear probing). A table that
 * is full stays as it is and a larger one takes what comes next, since the first hash is not kept to move by.
 */
export class SeenIds {
  readonly #tables: Table[] = [];
  /** Tenant, NUL, event_id: what is hashed. */
  readonly #key = Buffer.alloc(KEY_BYTES_MAX);
  #tenant: string | undefined;
  #prefix = 0;

  constructor(expected = 0) {
    let capacity = FIRST_CAPACITY;
    while (capacity * FULL < expected) capacity *= 2;
    this.#grow(capacity);
  }

  /** Memory that it takes. */
  get bytes(): number {
    return this.#tables.reduce((sum, { slots }) => sum + slots.byteLength, 0);
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
    const value = mark(kept);
    if (this.#find(place, value)) return false;
    let table = this.#tables.at(-1) as Table;
    if (table.used >= table.slots.length * FULL) table = this.#grow(table.slots.length * 2);
    const mask = table.slots.length - 1;
    let i = place & mask;
    while (table.slots[i] !== 0) i = (i + 1) & mask;
    table.slots[i] = value;
    table.used++;
    return true;
  }

  #find(place: number, value: number): boolean {
    for (const { slots } of this.#tables) {
      const mask = slots.length - 1;
      for (let i = place & mask; slots[i] !== 0; i = (i + 1) & mask) if (slots[i] === value) return true;
    }
    return false;
  }

  #grow(capacity: number): Table {
    const table = { slots: new Uint32Array(capacity), used: 0 };
    this.#tables.push(table);
    return table;
  }
}

/** 0 marks an empty slot, so no kept hash may be 0. */
const mark = (hash: number): number => (hash === 0 ? 1 : hash);
