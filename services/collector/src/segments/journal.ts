import { randomUUIDv7 } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ByteBuffer } from '@agent-audit/queries';
import type { Clock, Log, Telemetry } from '@agent-audit/shared';
import { NotRecorded } from '../not-recorded.ts';
import { nodeDisk, type Disk, type DiskFile } from './disk.ts';
import { checksumSeed, HEADER_BYTES, isTornHeader, readSegment, segmentHeader, type SegmentContent } from './format.ts';

export interface JournalOptions {
  readonly folder: string;
  /** Bytes that segments may take up; beyond it nothing is taken in. */
  readonly maxBytes: number;
  /** Bytes of the disk that are left to others, ClickHouse above all. */
  readonly reserveBytes: number;
  readonly log: Log;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly disk?: Disk;
}

/** One segment on disk. */
export interface SegmentFile {
  readonly id: string;
  /** Of the checksums of its records. */
  readonly seed: number;
  readonly path: string;
  /** Bytes that are on disk and synced, up to the end of a whole record. */
  readonly length: number;
  /** Writing to it has failed: what is on disk stays, and nothing more goes in. */
  readonly broken: boolean;
  /** The file is there; where it could not be made, nothing was ever acknowledged. */
  readonly made: boolean;
  /** It was found so, and what is whole of it is all that there is. */
  readonly damaged: boolean;
}

/** A segment that an earlier run of the service left behind. */
export interface LeftSegment {
  readonly file: SegmentFile;
  readonly events: number;
  readonly firstReceivedAtMicros: number;
  readonly lastReceivedAtMicros: number;
}

interface OpenFile extends SegmentFile {
  length: number;
  broken: boolean;
  made: boolean;
  handle: Promise<DiskFile>;
  /** Settles with the last of what was appended. */
  written: Promise<void>;
}

/** What goes to disk, and is synced, together. */
interface Group {
  readonly file: OpenFile;
  readonly bytes: ByteBuffer;
  readonly synced: PromiseWithResolvers<void>;
}

const SUFFIX = '.segment';
/** Number and id. */
const NAME = /^(\d{12,})-([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})\.segment$/;
/** Bytes that wait for the disk; more than a slow disk takes in seconds. */
const UNSYNCED_BYTES = 64 * 1024 * 1024;
/** After a write for which there was no space, how long none is tried; and how often the space that is left is looked at. */
const FULL_MS = 1_000;
const IDLE_BUFFERS_MAX = 2;

/**
 * Segments on disk: appended to in group commit, read back, removed.
 *
 * While a group is being written and synced, the next one gathers; so a sync is shared by whatever arrives in its
 * time. A sync that fails is never tried again: the kernel may have dropped the pages and report success the
 * next time, so the journal takes nothing more until the service is started anew.
 */
export class Journal {
  readonly #options: Required<JournalOptions>;
  #nextNumber = 0;
  /** Made ahead of its use, so that no append waits for the folder to be synced. */
  #spare: OpenFile | undefined;
  #groups: Group[] = [];
  #flushing: Promise<void> | undefined;
  readonly #idleBuffers: ByteBuffer[] = [];
  #unsynced = 0;
  #bytes = 0;
  #files = 0;
  #failure: Error | undefined;
  #fullUntilMs = 0;
  #freeKnownAtMs = -Infinity;

  constructor(options: JournalOptions) {
    this.#options = { disk: nodeDisk, ...options };
  }

  /** What stopped the journal for good, if anything did. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Bytes of all segments on disk. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Makes the folder, and reads what an earlier run left in it.
   *
   * @returns its segments in the order of their making; those with nothing in them are gone
   * @throws Error when there is something that may hold acknowledged events and cannot be read
   */
  async open(): Promise<LeftSegment[]> {
    const { folder, disk, log } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await disk.syncFolder(dirname(folder));
    const left: LeftSegment[] = [];
    const memory = new ByteBuffer(0);
    for (const name of (await disk.list(folder)).filter((found) => found.endsWith(SUFFIX)).toSorted()) {
      const path = join(folder, name);
      const [, number, id] = NAME.exec(name) ?? [];
      if (number === undefined || id === undefined) throw new Error(`${path} does not have a segment's name. Move it out of the folder, or give it back the name that it had.`);
      this.#nextNumber = Math.max(this.#nextNumber, Number(number) + 1);
      const bytes = await disk.read(path, memory);
      const content = readSegment(bytes);
      if (content === undefined || content.id !== id) {
        if (!isTornHeader(bytes, id)) throw new Error(`${path} cannot be read: it is damaged, or another version has written it. It may hold events that were acknowledged: start the version that wrote it, or move the file out of the folder and keep it.`);
        await disk.remove(path);
        continue;
      }
      if (content.records.length === 0) {
        if (content.state === 'torn') log.warn({ segment: name, cut: bytes.length - content.end }, 'a segment ends in the middle of its first record, which was never acknowledged; it is removed');
        await disk.remove(path);
        continue;
      }
      if (content.state === 'torn') log.warn({ segment: name, kept: content.end, cut: bytes.length - content.end }, 'a segment ends in the middle of a record, which was never acknowledged; it is cut there');
      if (content.state === 'damaged') {
        log.error({ segment: name, records: content.records.length }, 'a segment is damaged before its last record. After a power cut in the middle of a write that may be harmless; else the disk has lost acknowledged events. What is whole is recorded, and the file is kept beside it as .damaged');
        await this.#keepCopy(path, bytes);
      }
      left.push({ file: { id: content.id, seed: checksumSeed(content.id), path, length: content.end, broken: true, made: true, damaged: content.state === 'damaged' }, ...summary(content) });
      this.#count(1, content.end);
    }
    return left;
  }

  /**
   * Whether `bytes` more may come in.
   *
   * @throws NotRecorded saying why not
   */
  admit(bytes: number): void {
    const { clock, maxBytes } = this.#options;
    if (this.#failure !== undefined) throw new NotRecorded(`the disk has failed (${codeOf(this.#failure)}), and the service must be started anew`);
    if (clock.monotonicMs() < this.#fullUntilMs) throw new NotRecorded('the disk is full');
    if (this.#bytes + this.#unsynced + bytes > maxBytes) throw new NotRecorded('the disk space for events that wait for ClickHouse is used up');
    if (this.#unsynced > 0 && this.#unsynced + bytes > UNSYNCED_BYTES) throw new NotRecorded('the disk does not keep up');
  }

  /** A segment with nothing in it yet. */
  begin(): SegmentFile {
    const file = this.#spare ?? this.#create();
    this.#spare = undefined;
    return file;
  }

  /**
   * Appends to a segment.
   *
   * The promise resolves only when what was written is on disk and synced: nothing may be acknowledged before. When
   * it rejects, some of it may be there all the same.
   *
   * @param write puts whole records into the buffer, at once
   * @throws NotRecorded when it could not be written
   */
  append(to: SegmentFile, write: (buffer: ByteBuffer) => void): Promise<void> {
    const file = to as OpenFile;
    let group = this.#groups.at(-1);
    if (group === undefined || group.file !== file) {
      group = { file, bytes: this.#idleBuffers.pop() ?? new ByteBuffer(1 << 20), synced: Promise.withResolvers() };
      file.written = group.synced.promise;
      this.#groups.push(group);
    }
    const before = group.bytes.length;
    write(group.bytes);
    this.#unsynced += group.bytes.length - before;
    this.#flushing ??= this.#flush();
    return group.synced.promise;
  }

  /** Resolves when all that was appended to a segment is on disk, or has failed, and its file is closed. */
  async seal(segment: SegmentFile): Promise<void> {
    const { written, handle } = segment as OpenFile;
    try {
      await written;
    } catch {
      // Whoever appended to it knows.
    }
    try {
      await (await handle).close();
    } catch {
      // It was never made, or is gone already.
    }
  }

  /**
   * What is in a segment.
   *
   * @param memory holds it, until it is used again: segments are tens of megabytes
   * @throws Error when the file cannot be read, or is not what was synced
   */
  async read(segment: SegmentFile, memory = new ByteBuffer(0)): Promise<{ bytes: Buffer; content: SegmentContent }> {
    if (!segment.made) return { bytes: Buffer.alloc(0), content: { id: segment.id, records: [], end: 0, state: 'whole' } };
    const bytes = await this.#options.disk.read(segment.path, memory);
    const content = readSegment(bytes);
    if (content === undefined || content.end < segment.length || (content.state === 'damaged' && !segment.damaged)) throw new Error(`the segment ${basename(segment.path)} is not what was synced`);
    return { bytes, content };
  }

  /** Removes a segment whose events are in ClickHouse. */
  async remove(segment: SegmentFile): Promise<void> {
    if (!segment.made) return;
    await this.#options.disk.remove(segment.path);
    this.#count(-1, -segment.length);
  }

  /** Writes what is pending. To be called last; the spare segment is taken away. */
  async close(): Promise<void> {
    await this.#flushing;
    const spare = this.#spare;
    if (spare === undefined) return;
    await this.seal(spare);
    await this.#options.disk.remove(spare.path);
  }

  async #flush(): Promise<void> {
    // What arrives in the same turn of the event loop shares a sync.
    await new Promise((resolve) => setImmediate(resolve));
    for (let group = this.#groups.shift(); group !== undefined; group = this.#groups.shift()) {
      try {
        await this.#write(group);
        group.synced.resolve();
      } catch (error) {
        group.file.broken = true;
        group.synced.reject(new NotRecorded('the disk does not take the events', { cause: error }));
      }
      this.#unsynced -= group.bytes.length;
      group.bytes.clear();
      if (this.#idleBuffers.length < IDLE_BUFFERS_MAX) this.#idleBuffers.push(group.bytes);
      await this.#lookForSpace();
      this.#spare ??= this.#failure === undefined && this.#options.clock.monotonicMs() >= this.#fullUntilMs ? this.#create() : undefined;
    }
    // At once, not when the promise is done: an append that comes in between would wait for a flush that is over.
    this.#flushing = undefined;
  }

  async #write({ file, bytes }: Group): Promise<void> {
    const { telemetry, clock } = this.#options;
    if (this.#failure !== undefined) throw this.#failure;
    if (file.broken) throw new Error('an earlier write to the segment failed');
    const handle = await file.handle;
    try {
      await handle.write(bytes.view(), file.length);
    } catch (error) {
      throw this.#failed(error, 'write');
    }
    const begin = clock.monotonicMs();
    try {
      await handle.sync();
    } catch (error) {
      throw this.#failed(error, 'sync');
    }
    telemetry.synced((clock.monotonicMs() - begin) / 1000);
    file.length += bytes.length;
    this.#count(0, bytes.length);
  }

  async #lookForSpace(): Promise<void> {
    const { disk, folder, reserveBytes, clock, log } = this.#options;
    const now = clock.monotonicMs();
    if (now - this.#freeKnownAtMs < FULL_MS) return;
    this.#freeKnownAtMs = now;
    try {
      if ((await disk.free(folder)) >= reserveBytes) return;
      log.error({ reserve_bytes: reserveBytes }, 'the disk is nearly full: events are refused until there is space');
      this.#fullUntilMs = now + FULL_MS;
    } catch (error) {
      log.warn({ err: error }, 'the free space of the disk is not known');
    }
  }

  /** A disk without space may have some later. Whatever else fails, and a sync in any case, ends it. */
  #failed(error: unknown, during: 'create' | 'write' | 'sync'): Error {
    const failure = error instanceof Error ? error : new Error(String(error));
    if (during !== 'sync' && ['ENOSPC', 'EDQUOT'].includes(codeOf(failure))) {
      this.#fullUntilMs = this.#options.clock.monotonicMs() + FULL_MS;
      this.#options.log.error({ err: failure }, 'the disk is full: events are refused until there is space');
    } else if (this.#failure === undefined) {
      this.#failure = failure;
      this.#options.log.fatal({ err: failure, during }, 'the disk has failed: nothing more is acknowledged until the service is started anew');
      this.#options.telemetry.journalFailed();
    }
    return failure;
  }

  #create(): OpenFile {
    const id = randomUUIDv7();
    const path = join(this.#options.folder, `${String(this.#nextNumber++).padStart(12, '0')}-${id}${SUFFIX}`);
    const handle = this.#make(path, segmentHeader(id));
    const file: OpenFile = { id, seed: checksumSeed(id), path, length: HEADER_BYTES, broken: false, made: false, damaged: false, handle, written: Promise.resolve() };
    handle.then(
      () => {
        file.made = true;
        return this.#count(1, HEADER_BYTES);
      },
      (error: unknown) => {
        file.broken = true;
        if (this.#spare === file) this.#spare = undefined;
        this.#failed(error, 'create');
      },
    );
    return file;
  }

  /** The file's name, too, is on disk when this resolves. */
  async #make(path: string, header: Buffer): Promise<DiskFile> {
    const { folder, disk } = this.#options;
    const handle = await disk.create(path);
    try {
      await handle.write(header, 0);
      await handle.sync();
      await disk.syncFolder(folder);
      return handle;
    } catch (error) {
      await handle.close();
      await disk.remove(path);
      throw error;
    }
  }

  /** A copy has its name only when it is whole. */
  async #keepCopy(path: string, bytes: Buffer): Promise<void> {
    const { disk, folder } = this.#options;
    const copy = `${path}.damaged`;
    if ((await disk.list(folder)).includes(basename(copy))) return;
    await disk.remove(`${copy}.part`);
    const handle = await disk.create(`${copy}.part`);
    try {
      await handle.write(bytes, 0);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await disk.rename(`${copy}.part`, copy);
    await disk.syncFolder(folder);
  }

  #count(files: number, bytes: number): void {
    this.#files += files;
    this.#bytes += bytes;
    this.#options.telemetry.segments(this.#files, this.#bytes);
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'error';
}

/** What must be known of a segment before its turn has come; there may be more of them than memory. */
function summary({ records }: SegmentContent): Omit<LeftSegment, 'file'> {
  let [events, first, last] = [0, Infinity, -Infinity];
  for (const { events: places, receivedAtMicros } of records) {
    events += places.length / 2;
    first = Math.min(first, receivedAtMicros);
    last = Math.max(last, receivedAtMicros);
  }
  return { events, firstReceivedAtMicros: first, lastReceivedAtMicros: last };
}
