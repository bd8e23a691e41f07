import { storedAt, timesOfReceipt, type Store } from '@agent-audit/queries';
import { eventLeaf, MISSING_LEAF, saltedDigest, tileAt, TILE_WIDTH, HASH_BYTES, type Hash, type Salts, type Tile } from '@agent-audit/tlog';
import type { Finding, Findings } from '../finding.ts';
import { folderSource } from '../log/tile-source.ts';
import { saltsOf, type StoredLog } from './stored-log.ts';

/** What is left of an event that was erased: enough for its leaf. */
export interface Tombstone {
  readonly eventId: string;
  /** Microseconds since the Unix epoch. */
  readonly receivedAtMicros: number;
  /** SHA-256(salt || stored bytes). */
  readonly digest: Uint8Array;
}

/** Looks up what was erased; undefined where nothing was. */
export type TombstoneOf = (log: StoredLog, index: number) => Promise<Tombstone | undefined>;

/** A row that is not what the leaf at its place was made of. */
interface Stray {
  readonly index: number;
  readonly eventId: string;
  readonly receivedAtMicros: number;
  /** Undefined where there are too many to keep them all. */
  readonly raw: Buffer | undefined;
  /** Columns that are not those of its bytes. */
  readonly columns: readonly string[];
  readonly unreadable: boolean;
  /** Of rows at the places beside it. */
  readonly neighbours: readonly number[];
}

const PLACES_AT_ONCE = 500;
const KEPT_BYTES = 256 * 1024 ** 2;
/** Hashes that are spent on finding where rows belong. */
const TRIALS = 1_000_000;
const NEIGHBOURS = [-2, -1, 1, 2];
/** Where a row that was moved is looked for first. */
const NEAR = [-1, 1, -2, 2, -3, 3, -4, 4];

/**
 * Says what became of the places whose leaf is not that of the one row there. Rows that are elsewhere in the log are found
 * by trying: as far along as the one before, then where the row that has their place now came from, then everywhere, as long as that is
 * bearable.
 *
 * @param places in order, also behind the end of the log
 * @returns how many were erased
 */
export async function nameSuspects(store: Store, log: StoredLog, places: readonly number[], tombstoneOf: TombstoneOf, findings: Findings): Promise<number> {
  const named = new Naming(log, findings);
  for (let at = 0; at < places.length; at += PLACES_AT_ONCE) await named.read(store, places.slice(at, at + PLACES_AT_ONCE));
  const erased = await named.erased(tombstoneOf);
  named.finish();
  return erased;
}

class Naming {
  readonly #log: StoredLog;
  readonly #salts: Salts;
  readonly #findings: Findings;
  /** Leaves that no row at their place has. */
  readonly #open = new Map<number, Buffer>();
  readonly #strays: Stray[] = [];
  #kept = 0;
  #trials = 0;

  constructor(log: StoredLog, findings: Findings) {
    this.#log = log;
    this.#salts = saltsOf(log);
    this.#findings = findings;
  }

  /** Sorts out what stands at some places now. */
  async read(store: Store, places: readonly number[]): Promise<void> {
    const source = await folderSource(this.#log.folder);
    for (const index of places) {
      if (index >= this.#log.size) continue;
      const tile = tileAt(0, Math.floor(index / TILE_WIDTH), this.#log.size) as Tile;
      const bytes = await source.read(tile);
      const at = (index % TILE_WIDTH) * HASH_BYTES;
      this.#open.set(index, Buffer.from(bytes.subarray(at, at + HASH_BYTES)));
    }
    const times = await timesOfReceipt(store, this.#log, [...new Set(places.flatMap((index) => NEIGHBOURS.map((by) => index + by)))].filter((index) => index >= 0));
    for await (const { rows, bytes, indexesAt, timesAt, ids, raws, differing, unreadable } of storedAt(store, this.#log, places)) {
      for (let row = 0; row < rows; row++) {
        const index = Number(bytes.readBigUInt64LE(indexesAt + 8 * row));
        const stray = {
          index,
          eventId: bytes.toString('utf8', ids[2 * row], ids[2 * row + 1]),
          receivedAtMicros: Number(bytes.readBigInt64LE(timesAt + 8 * row)),
          raw: Buffer.from(bytes.subarray(raws[2 * row], raws[2 * row + 1])),
          columns: differing.get(row) ?? [],
          unreadable: unreadable.has(row),
          neighbours: NEIGHBOURS.map((by) => times.get(index + by)).filter((time) => time !== undefined),
        };
        if (this.#fits(stray, index)) {
          this.#open.delete(index);
          continue;
        }
        this.#kept += stray.raw.length;
        this.#strays.push(this.#kept > KEPT_BYTES ? { ...stray, raw: undefined } : stray);
      }
    }
  }

  /** Takes places off whose events were erased. @returns how many */
  async erased(tombstoneOf: TombstoneOf): Promise<number> {
    let erased = 0;
    for (const [index, leaf] of this.#open) {
      const tombstone = await tombstoneOf(this.#log, index);
      if (tombstone === undefined || !isSame(eventLeaf({ tenant: this.#log.tenant, ...tombstone }), leaf)) continue;
      this.#open.delete(index);
      erased++;
    }
    return erased;
  }

  finish(): void {
    const moved = this.#findMoved();
    for (const stray of this.#strays) {
      if (moved.has(stray)) continue;
      const leaf = this.#open.get(stray.index);
      if (leaf === undefined || isSame(leaf, MISSING_LEAF)) this.#add('added', stray, this.#whyAdded(stray.index, leaf));
      else {
        this.#nameAltered(stray);
        this.#open.delete(stray.index);
      }
    }
    for (const [index, leaf] of this.#open) {
      if (!isSame(leaf, MISSING_LEAF)) this.#findings.add({ finding: 'removed', log_id: this.#log.logId, log_index: index, detail: 'the log has it, and no row does; its hash says nothing of what it was' });
    }
  }

  #whyAdded(index: number, leaf: Buffer | undefined): string {
    if (index >= this.#log.size) return 'it stands behind the end of the log, with places between that are empty, or beside another row';
    return leaf === undefined ? 'another row with the same place is what was logged' : 'when the log came to this place, the event was not there';
  }

  /** Rows that are what was logged at another place: first all that are near, then the others, as long as there are trials. */
  #findMoved(): Set<Stray> {
    const moved = new Set<Stray>();
    /** Where the row now at a place came from. */
    const cameFrom = new Map<number, number>();
    let by = 0;
    const look = (places: (stray: Stray) => Iterable<number | undefined>): void => {
      for (const stray of this.#strays) {
        const home = moved.has(stray) ? undefined : this.#homeAmong(stray, places(stray));
        if (home === undefined) continue;
        this.#open.delete(home);
        moved.add(stray);
        cameFrom.set(home, stray.index);
        by = home - stray.index;
        this.#add('reordered', stray, `it is what the log has at ${home}`);
      }
    };
    look((stray) => [stray.index + by, cameFrom.get(stray.index), ...NEAR.map((distance) => stray.index + distance)]);
    look((stray) => (this.#trials + this.#open.size > TRIALS ? [cameFrom.get(stray.index)] : [cameFrom.get(stray.index), ...this.#open.keys()]));
    return moved;
  }

  #homeAmong(stray: Stray, places: Iterable<number | undefined>): number | undefined {
    for (const place of places) if (place !== undefined && this.#open.has(place) && this.#fits(stray, place)) return place;
    return undefined;
  }

  #nameAltered(stray: Stray): void {
    const { receivedAtMicros, neighbours, columns, index } = stray;
    const time = neighbours.find((other) => other !== receivedAtMicros && this.#fits({ ...stray, receivedAtMicros: other }, index));
    if (time !== undefined) return this.#add('backdated', stray, `received_at was ${rfc3339(time)}, as of the events beside it, and is ${rfc3339(receivedAtMicros)}`);
    const eventId = idOf(stray);
    if (eventId !== undefined && eventId !== stray.eventId && this.#fits({ ...stray, eventId }, index)) return this.#add('edited', stray, `event_id was ${eventId}${others(columns)}`);
    if (stray.unreadable) return this.#add('edited', stray, 'raw: the bytes are no event any more');
    const before = Math.min(...neighbours);
    const after = Math.max(...neighbours);
    if (columns.every((name) => name === 'flags') && neighbours.length > 0 && (receivedAtMicros < before || receivedAtMicros > after) && !isEnd(neighbours)) {
      return this.#add('backdated', stray, `received_at is ${rfc3339(receivedAtMicros)}, and those of the events beside it are from ${rfc3339(before)} to ${rfc3339(after)}`);
    }
    this.#add('edited', stray, columns.length === 0 ? 'raw, together with the columns, or received_at' : `raw; these columns are not of its bytes: ${columns.join(', ')}`);
  }

  #add(finding: Finding['finding'], { index, eventId }: Stray, detail: string): void {
    this.#findings.add({ finding, log_id: this.#log.logId, log_index: index, event_id: eventId, detail });
  }

  /** Whether the leaf at a place is made of this row. */
  #fits({ raw, eventId, receivedAtMicros }: Stray, place: number): boolean {
    const leaf = this.#open.get(place);
    if (leaf === undefined || raw === undefined || Buffer.byteLength(eventId) > 255 || !(receivedAtMicros >= 0)) return false;
    this.#trials++;
    return isSame(eventLeaf({ tenant: this.#log.tenant, eventId, receivedAtMicros, digest: saltedDigest(this.#salts.from(place), raw) }), leaf);
  }
}

const others = (columns: readonly string[]): string => {
  const rest = columns.filter((name) => name !== 'event_id');
  return rest.length === 0 ? '' : `; other columns that are not those of the bytes: ${rest.join(', ')}`;
};

/** Too few to say what lies between them. */
const isEnd = (neighbours: readonly number[]): boolean => neighbours.length < NEIGHBOURS.length;

function idOf({ raw, unreadable }: Stray): string | undefined {
  return raw === undefined || unreadable ? undefined : (JSON.parse(raw.toString()) as { event_id: string }).event_id;
}

function isSame(a: Hash, b: Hash): boolean {
  return Buffer.compare(a, b) === 0;
}

function rfc3339(micros: number): string {
  const ms = Math.floor(micros / 1000);
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? `${micros} µs` : time.toISOString().replace(/Z$/, `${String(micros - ms * 1000).padStart(3, '0')}Z`);
}
