import { setTimeout as sleep } from 'node:timers/promises';
import { EmitterEvents, type Line } from './load-events.ts';
import { Oracle } from './oracle.ts';
import { Random } from './random.ts';
import type { ServiceClient } from './service.ts';
import { inTime, until } from './until.ts';

const WORKERS = 6;
const BATCH_MAX = 16;
/** Between two requests of a worker: a steady load, not the greatest, or the checks would take longer than the faults. */
const PACE_MS = 30;
/** After a refusal or a broken connection. */
const AGAIN_MS = 20;
/** How long anything may take on a busy machine before it counts as never. */
const NEVER_MS = 90_000;

export interface LoadTenant {
  readonly name: string;
  readonly key: string;
}

/** A tenant as the load knows it. */
export interface KnownTenant extends LoadTenant {
  readonly oracle: Oracle;
}

/** One request, until it is acknowledged. */
/** Answered as soon as events are durable, also where whoever tests would rather wait until they are shown. */
const DURABLE_ONLY = { prefer: '' };

interface Delivery {
  readonly lines: readonly Line[];
  settled: boolean;
}

interface Worker {
  readonly tenant: KnownTenant;
  readonly events: EmitterEvents;
  readonly random: Random;
  /** Sent and not acknowledged: as a careful client does, it is sent again before anything else. */
  pending: Delivery[];
}

/** What a service answers to a body of events. */
interface Answered {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: readonly { readonly index: number }[];
}

/**
 * Clients that record, and repeat what was not acknowledged: NDJSON batches with repeats, conflicts and lines that are
 * no events, delivered now and then twice at once or in another order. Emitters of different tenants use the same
 * names and ids.
 */
export class Load {
  readonly tenants: readonly KnownTenant[];
  /** Requests that were answered, but not with an acknowledgement, by status. */
  readonly refusals = new Map<number, number>();
  /** Answers that the contract does not know. */
  readonly odd: string[] = [];
  readonly #workers: Worker[];
  #requests = 0;
  #running: Promise<void>[] = [];
  #stopping = false;
  #failure: unknown;
  #window = 0;

  constructor(random: Random, tenants: readonly LoadTenant[]) {
    this.tenants = tenants.map(({ name, key }) => ({ name, key, oracle: new Oracle() }));
    this.#workers = Array.from({ length: WORKERS }, (_, i) => {
      const tenant = this.tenants[i % this.tenants.length] as KnownTenant;
      // Numbers of its own: what a worker sends does not hang on when the others get their answers.
      const own = new Random(random.int(2 ** 31));
      return { tenant, events: new EmitterEvents(tenant.name, `gw-${Math.floor(i / this.tenants.length)}`, own), random: own, pending: [] };
    });
  }

  get requests(): number {
    return this.#requests;
  }

  get sent(): number {
    return sum(this.tenants, ({ oracle }) => oracle.sent);
  }

  get acknowledged(): number {
    return sum(this.tenants, ({ oracle }) => oracle.acknowledged);
  }

  get refused(): number {
    return sum(this.tenants, ({ oracle }) => oracle.refused);
  }

  /** The window into which new events fall. */
  get window(): number {
    return this.#window;
  }

  /** From now on, events happen in another window. The load must have been stopped, and everything sent acknowledged. */
  nextWindow(): void {
    this.#window++;
  }

  /**
   * Starts to send.
   *
   * @param service where to, asked before every request: a service that was started again has another address
   */
  start(service: () => ServiceClient): void {
    this.#stopping = false;
    this.#running = this.#workers.map(async (worker) => {
      while (!this.#stopping) await sleep((await this.#turn(worker, service)) ? worker.random.int(2 * PACE_MS) : AGAIN_MS);
    });
    for (const running of this.#running) {
      // Whoever waits for the load is told.
      running.catch((error: unknown) => {
        this.#failure = error;
      });
    }
  }

  /** Resolves when the requests under way have ended, one way or another. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await inTime(Promise.all(this.#running), 'the requests under way to end', NEVER_MS);
  }

  /** Sends what was never acknowledged, until it is. */
  async finish(service: () => ServiceClient): Promise<void> {
    const deadline = Date.now() + NEVER_MS;
    for (const worker of this.#workers) {
      while (worker.pending.length > 0) {
        if (await this.#turn(worker, service)) continue;
        if (Date.now() > deadline) throw new Error(`requests are still not acknowledged after ${NEVER_MS} ms`);
        await sleep(AGAIN_MS);
      }
    }
  }

  /** Resolves when so many more events are acknowledged. */
  async progress(events: number): Promise<void> {
    const enough = this.acknowledged + events;
    const ask = (): number => {
      if (this.#failure !== undefined) throw this.#failure;
      return this.acknowledged;
    };
    await until(() => ({ acknowledged: ask() }), ({ acknowledged }) => acknowledged >= enough, NEVER_MS);
  }

  /** @returns whether everything of the worker is acknowledged */
  async #turn(worker: Worker, service: () => ServiceClient): Promise<boolean> {
    if (worker.pending.length === 0) worker.pending = this.#deliveries(worker);
    await Promise.all(worker.pending.map((delivery) => this.#deliver(worker.tenant, delivery, service())));
    worker.pending = worker.pending.filter(({ settled }) => !settled);
    return worker.pending.length === 0;
  }

  #deliveries({ events, random }: Worker): Delivery[] {
    const dice = random.next();
    const lines = events.batch(this.#window, BATCH_MAX);
    // A client that lost patience, or a proxy that tried again: the same request twice at once.
    if (dice < 0.05) return [{ lines, settled: false }, { lines, settled: false }];
    // The later first.
    if (dice < 0.12) return [{ lines: events.batch(this.#window, BATCH_MAX), settled: false }, { lines, settled: false }];
    return [{ lines, settled: false }];
  }

  async #deliver({ key, oracle }: KnownTenant, delivery: Delivery, service: ServiceClient): Promise<void> {
    const { lines } = delivery;
    for (const { id, raw, window } of lines) if (id !== undefined) oracle.sends(id, raw, window);
    this.#requests++;
    try {
      const answer = await service.post(lines.map(({ raw }) => `${raw}\n`).join(''), { type: 'application/x-ndjson', key, headers: DURABLE_ONLY });
      if (answer.status === 202 || answer.status === 422) {
        this.#settle(oracle, delivery, answer.json() as Answered);
        return;
      }
      this.refusals.set(answer.status, (this.refusals.get(answer.status) ?? 0) + 1);
      if (answer.status !== 503 && answer.status !== 429) this.odd.push(`${answer.status} ${answer.text.slice(0, 200)}`);
    } catch (error) {
      // The connection broke, and nobody knows what became of the events.
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    }
  }

  #settle(oracle: Oracle, delivery: Delivery, { accepted, duplicates, rejected }: Answered): void {
    const { lines } = delivery;
    const refused = new Set(rejected.map(({ index }) => index));
    if (accepted + duplicates + rejected.length !== lines.length || lines.some(({ id }, i) => refused.has(i) !== (id === undefined))) {
      this.odd.push(`of ${lines.length} lines ${accepted} were accepted, ${duplicates} duplicates, and refused were those at ${[...refused].join(', ')}`);
    }
    for (const { id, raw } of lines) {
      if (id === undefined) oracle.refuses(raw);
      else oracle.acknowledges(id, raw);
    }
    delivery.settled = true;
  }
}

function sum<T>(of: readonly T[], what: (one: T) => number): number {
  return of.reduce((total, one) => total + what(one), 0);
}
