import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Log, Telemetry } from '@agent-audit/shared';
import type { Offered } from './anchors/index.ts';
import { checkpointText, type Checkpoint } from './checkpoint.ts';
import type { LogRows } from './event-leaves.ts';
import { CHECKPOINT, nodesIn, readCheckpoint } from './log-files.ts';
import { LogThread, type Appended } from './log-thread.ts';
import { consistencyProof } from './merkle.ts';
import { SALT_KEY_BYTES, Salts } from './salts.ts';
import { writeDurably } from './write-file.ts';

/** What signs checkpoints. */
export interface CheckpointSigner {
  /** The text as a signed note, by every key that is in force, under the log's name. */
  sign(origin: string, text: string): Promise<string>;
}

export interface EventLogsOptions {
  /** `<data folder>/logs`. */
  readonly folder: string;
  readonly collectorId: string;
  /** What the names of all logs begin with. */
  readonly prefix: string;
  readonly signer: CheckpointSigner;
  /** Recorded events of a tenant at this collector from a place on, in the order of their places. */
  readonly recorded: (tenant: string, firstIndex: number) => AsyncIterable<LogRows>;
  readonly log: Log;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Told of each checkpoint that was signed and stored. */
  readonly onCheckpoint?: (checkpoint: Offered) => void;
}

/** Between two checkpoints of a log that grows, milliseconds. */
const CHECKPOINT_MS = 2_000;
const RETRY_MS = 1_000;

/** A log as it can be read. */
export interface LogView {
  readonly tenant: string;
  readonly collectorId: string;
  readonly origin: string;
  readonly folder: string;
  /** What is wrong with its files, where that is known. */
  readonly broken: string | undefined;
  readonly salts: Salts;
  /** The last that was signed, and what it says; absent where none was. */
  readonly note?: string;
  readonly checkpoint?: Checkpoint;
}

interface EventLog {
  readonly tenant: string;
  readonly origin: string;
  readonly folder: string;
  /** Entries, durable or not. */
  size: number;
  /** Entries that the last checkpoint covers. */
  checkpointSize: number;
  /** The keys have changed since. */
  stale: boolean;
  broken: string | undefined;
}

interface CatchingUp {
  /** Events came that the log could not take: there is more to read. */
  missed: boolean;
  done: Promise<void>;
}

/**
 * The logs of a collector, one for each tenant, as they grow.
 *
 *     recorded events --> append --> hashed and written by a thread --> synced, signed as a checkpoint every few seconds
 *
 * A log follows the record: what it has not got when it is needed (after a crash, or where its disk failed) it reads
 * from there. It is never cut behind its last checkpoint; one whose files are not what that says is *broken*, is left as it
 * is, and grows no more.
 */
export class EventLogs {
  readonly #options: EventLogsOptions;
  readonly #thread: LogThread;
  readonly #secret: Buffer;
  readonly #logs = new Map<string, EventLog>();
  readonly #opening = new Map<string, Promise<EventLog>>();
  readonly #appending = new Set<Promise<void>>();
  readonly #salts = new Map<string, Salts>();
  readonly #catching = new Map<string, CatchingUp>();
  #timer: NodeJS.Timeout | undefined;
  #signing: Promise<void> | undefined;
  #stopped = false;

  private constructor(options: EventLogsOptions, secret: Buffer) {
    this.#options = options;
    this.#secret = secret;
    this.#thread = new LogThread(secret);
  }

  /** Opens all logs that are there. @throws Error where the folder cannot be read or written */
  static async open(options: EventLogsOptions): Promise<EventLogs> {
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    const logs = new EventLogs(options, await keptSecret(options.folder));
    for (const name of readdirSync(options.folder)) {
      const [tenant, collectorId] = name.split('@');
      if (tenant !== undefined && collectorId === options.collectorId) await logs.#open(tenant);
    }
    logs.#timer = setInterval(() => void logs.#signAll(), CHECKPOINT_MS).unref();
    return logs;
  }

  /** How far the log of a tenant got. Places below it are given, and never given again. */
  size(tenant: string): number {
    return this.#logs.get(tenant)?.size ?? 0;
  }

  /** Logs whose files are not what their checkpoint says. */
  get broken(): number {
    return this.#logs.values().reduce((sum, log) => sum + (log.broken === undefined ? 0 : 1), 0);
  }

  sizes(): ReadonlyMap<string, number> {
    return new Map(this.#logs.values().map(({ tenant, size }) => [tenant, size]));
  }

  /**
   * A log of this data folder, also of a collector that had it before.
   *
   * @returns undefined where there is none @throws LogBroken where its checkpoint is none
   */
  view(tenant: string, collectorId: string): LogView | undefined {
    const folder = join(this.#options.folder, folderName(tenant, collectorId));
    if (!existsSync(folder)) return undefined;
    const broken = collectorId === this.#options.collectorId ? this.#logs.get(tenant)?.broken : undefined;
    const origin = originOf(this.#options.prefix, tenant, collectorId);
    return { tenant, collectorId, origin, folder, broken, salts: new Salts(this.#secret, origin), ...readCheckpoint(folder) };
  }

  /** The salt of a place; undefined where the log is not in this data folder. */
  saltOf(tenant: string, collectorId: string, index: number): Buffer | undefined {
    const name = folderName(tenant, collectorId);
    let salts = this.#salts.get(name);
    if (salts === undefined) {
      if (!existsSync(join(this.#options.folder, name))) return undefined;
      this.#salts.set(name, (salts = new Salts(this.#secret, originOf(this.#options.prefix, tenant, collectorId))));
    }
    return salts.from(index);
  }

  /** All logs of a tenant in this data folder. */
  viewsOf(tenant: string): LogView[] {
    const names = readdirSync(this.#options.folder).map((name) => name.split('@')).filter(([of, collectorId]) => of === tenant && collectorId !== undefined);
    return names.map(([, collectorId]) => this.view(tenant, collectorId as string)).filter((view) => view !== undefined);
  }

  /**
   * Events that are recorded now. Never rejects: what a log does not take now it reads from the record later.
   *
   * @param rows are read until the promise is resolved
   */
  append(rows: LogRows): Promise<void> {
    const appending = this.#appendNow(rows).finally(() => this.#appending.delete(appending));
    this.#appending.add(appending);
    return appending;
  }

  async #appendNow(rows: LogRows): Promise<void> {
    try {
      for (const { tenant } of rows.runs) if (!this.#logs.has(tenant)) await this.#open(tenant);
      for (const appended of await this.#thread.append(rows)) this.#note(appended);
    } catch (error) {
      this.#options.log.error({ err: error }, 'events could not be put into their log; they are read from the record later');
      for (const { tenant } of rows.runs) this.#catchUp(tenant);
    }
  }

  /** Reads what the record has and the logs have not. @param sizes events of each tenant in the record */
  follow(sizes: ReadonlyMap<string, number>): void {
    for (const [tenant, size] of sizes) if (size > this.size(tenant)) this.#catchUp(tenant);
  }

  /** Says which logs have more than the record. @param sizes as in `follow` */
  compare(sizes: ReadonlyMap<string, number>): void {
    for (const { tenant, size, broken } of this.#logs.values()) {
      const recorded = sizes.get(tenant) ?? 0;
      if (recorded < size && broken === undefined) this.#options.log.error({ tenant, log_size: size, recorded }, 'the log of a tenant has more events than the record: events were removed from ClickHouse, or it was set back to an older state. `agent-audit verify` names them');
    }
  }

  /** Resolves when all that is recorded is in its log and covered by a checkpoint, as far as that can be had. */
  async settled(): Promise<void> {
    await Promise.all(this.#appending);
    for (const { done } of this.#catching.values()) await done;
    await this.#signing;
    await this.#signAll();
  }

  /** To be called when the keys have changed: logs that do not grow are signed by the new ones, too. */
  async signAgain(): Promise<void> {
    await this.#signing;
    for (const log of this.#logs.values()) log.stale = log.checkpointSize > 0;
    await this.#signAll();
  }

  /** A last checkpoint of each; what is not in the logs by now is at the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await Promise.all(this.#appending);
    await this.#signing;
    await this.#signAll();
    await this.#thread.close();
  }

  #open(tenant: string): Promise<EventLog> {
    let opening = this.#opening.get(tenant);
    if (opening === undefined) {
      opening = this.#openNow(tenant).finally(() => this.#opening.delete(tenant));
      this.#opening.set(tenant, opening);
    }
    return opening;
  }

  async #openNow(tenant: string): Promise<EventLog> {
    const { log } = this.#options;
    const origin = originOf(this.#options.prefix, tenant, this.#options.collectorId);
    const folder = join(this.#options.folder, folderName(tenant, this.#options.collectorId));
    const { size, broken } = await this.#thread.open({ tenant, origin, folder });
    const opened: EventLog = { tenant, origin, folder, size, checkpointSize: size, stale: false, broken };
    if (broken !== undefined) log.fatal({ tenant, reason: broken }, 'a log is broken: somebody changed its files. It is left as it is; new events are recorded, but not covered by a proof');
    this.#logs.set(tenant, opened);
    this.#tell();
    return opened;
  }

  #note({ tenant, size, behind, failure }: Appended): void {
    const log = this.#logs.get(tenant) as EventLog;
    if (log.broken !== undefined) return;
    log.size = size;
    if (failure !== undefined) this.#options.log.error({ tenant, reason: failure }, 'a log could not be written');
    if (behind) this.#catchUp(tenant);
  }

  #catchUp(tenant: string): void {
    let catching = this.#catching.get(tenant);
    if (catching === undefined) {
      catching = { missed: true, done: Promise.resolve() };
      this.#catching.set(tenant, catching);
      catching.done = this.#catchUpNow(tenant, catching);
    }
    catching.missed = true;
  }

  async #catchUpNow(tenant: string, catching: CatchingUp): Promise<void> {
    while (catching.missed && !this.#stopped) {
      catching.missed = false;
      try {
        await this.#readMissed(tenant);
      } catch (error) {
        if (this.#stopped) break;
        catching.missed = true;
        this.#options.log.warn({ err: error, tenant }, 'a log could not read what it misses from the record; trying again');
        await this.#options.clock.sleep(RETRY_MS);
      }
    }
    // At once: who misses something from here on begins another.
    this.#catching.delete(tenant);
  }

  async #readMissed(tenant: string): Promise<void> {
    const log = this.#logs.get(tenant) ?? (await this.#open(tenant));
    if (log.broken !== undefined) return;
    for await (const rows of this.#options.recorded(tenant, log.size)) {
      if (this.#stopped) return;
      for (const { size, failure } of await this.#thread.append(rows)) {
        log.size = size;
        if (failure !== undefined) throw new Error(failure);
      }
    }
  }

  #signAll(): Promise<void> {
    this.#signing ??= this.#signGrown().finally(() => {
      this.#signing = undefined;
    });
    return this.#signing;
  }

  async #signGrown(): Promise<void> {
    for (const log of this.#logs.values()) {
      if (log.broken !== undefined || (log.size === log.checkpointSize && !log.stale)) continue;
      try {
        await this.#sign(log);
      } catch (error) {
        this.#options.log.error({ err: error, tenant: log.tenant }, 'a checkpoint could not be signed or stored; trying again');
      }
    }
    this.#tell();
  }

  async #sign(log: EventLog): Promise<void> {
    const { origin, folder } = log;
    const { size, root } = await this.#thread.sync(log.tenant);
    // It was opened anew after a failure: what is gone with it is read again.
    if (size < log.size) this.#catchUp(log.tenant);
    log.size = Math.min(size, log.size);
    const note = await this.#options.signer.sign(origin, checkpointText({ origin, size, root }));
    await writeDurably(join(folder, CHECKPOINT), note, 0o600);
    log.checkpointSize = size;
    log.stale = false;
    this.#options.onCheckpoint?.({ origin, size, root, checkpoint: note, consistency: async (from) => consistencyProof(nodesIn(folder, size), from, size) });
  }

  #tell(): void {
    const logs = [...this.#logs.values()];
    const { telemetry } = this.#options;
    telemetry.logs({
      entries: logs.reduce((sum, { size }) => sum + size, 0),
      pending: logs.reduce((sum, { size, checkpointSize }) => sum + size - checkpointSize, 0),
      broken: this.broken,
    });
  }
}

/** The name of a tenant's log, which is also that of its key. */
export function originOf(prefix: string, tenant: string, collectorId: string): string {
  return `${prefix}/${tenant}/${collectorId}`;
}

/** Neither name can hold an `@`. */
export function folderName(tenant: string, collectorId: string): string {
  return `${tenant}@${collectorId}`;
}

/** Made once: without it nobody can verify what was salted with it. */
async function keptSecret(folder: string): Promise<Buffer> {
  const file = join(folder, 'salt-secret');
  try {
    const secret = await readFile(file);
    if (secret.length !== SALT_KEY_BYTES) throw new Error(`${file} has ${secret.length} bytes instead of ${SALT_KEY_BYTES}; restore it from a backup, the proofs of all events need it`);
    return secret;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const secret = randomBytes(SALT_KEY_BYTES);
    await writeDurably(file, secret, 0o600);
    return secret;
  }
}
