import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEmbeddedClickHouse, type EmbeddedClickHouse } from '@agent-audit/clickhouse-embedded';
import type { StoreOptions } from '@agent-audit/queries';
import { checkProof } from '../support/check-proof.ts';
import { RecordCheck } from '../support/check-record.ts';
import { Load } from '../support/load.ts';
import { CONTENT } from '../support/load-events.ts';
import type { Verdict } from '../support/oracle.ts';
import type { Random } from '../support/random.ts';
import { isAlive, ServiceFolder, type ServiceProcess, signal } from '../support/service.ts';
import { StoreProxy } from '../support/store-proxy.ts';
import { inTime, until } from '../support/until.ts';
import type { Fault, House } from './fault.ts';

/** Long for anything that should come back, on any machine. */
const BACK_MS = 60_000;
/** As whoever watches over services waits before the next start. */
const AGAIN_MS = 100;
/** What an engine of the test's own may use: it is not alone on the machine. */
const ENGINE_BYTES = 1024 ** 3;

export interface SceneOptions {
  readonly house: House;
  readonly random: Random;
  /** Modules that are loaded into every service that starts here. */
  readonly preload?: readonly URL[];
  /** Faults that want something done to the folder first. */
  readonly prepare?: readonly Pick<Fault, 'prepare'>[];
  /** How long what was acknowledged may take to be shown. */
  readonly drainMs?: number;
}

interface ProxiedStore {
  readonly engine: EmbeddedClickHouse;
  readonly proxy: StoreProxy;
}

/** A service on a folder of its own, under load, and all that a fault may lay hands on. */
export class Scene {
  readonly random: Random;
  readonly folder: ServiceFolder;
  readonly load: Load;
  /** Added to the clock of services that start from now on; see `preload/shift-clock.ts`. */
  clockOffsetMs = 0;
  /** Starts that failed and were tried again. */
  failedStarts = 0;
  readonly #options: SceneOptions;
  readonly #store: ProxiedStore | undefined;
  readonly #check: RecordCheck;
  readonly #leaked = new Set<string>();
  readonly #undo: readonly (() => Promise<void>)[];
  #service: ServiceProcess;

  private constructor(options: SceneOptions, folder: ServiceFolder, store: ProxiedStore | undefined, service: ServiceProcess, load: Load, undo: readonly (() => Promise<void>)[]) {
    this.#options = options;
    this.random = options.random;
    this.folder = folder;
    this.#store = store;
    this.#service = service;
    this.load = load;
    this.#undo = undo;
    this.#check = new RecordCheck(load, options.random, options.drainMs);
  }

  static async open(options: SceneOptions): Promise<Scene> {
    if (closed) throw new Error('no scene is opened any more');
    const folder = await ServiceFolder.make();
    opening.add(folder);
    const undo: (() => Promise<void>)[] = [];
    let store: ProxiedStore | undefined;
    try {
      for (const fault of options.prepare ?? []) if (fault.prepare !== undefined) undo.push(await fault.prepare(folder.dataDir));
      store = options.house === 'embedded' ? undefined : await startStore(folder);
      const service = await startIn(folder, options, store, 0);
      const tenants = [{ name: 'default', key: folder.adminKey }, { name: 'other', key: await service.newKey({ tenant: 'other' }) }];
      const scene = new Scene(options, folder, store, service, new Load(options.random, tenants), undo);
      open.add(scene);
      scene.startLoad();
      return scene;
    } catch (error) {
      await folder.end();
      await stopStore(store);
      for (const undone of undo) await undone();
      await folder.remove();
      throw error;
    } finally {
      opening.delete(folder);
    }
  }

  /** The service as it runs now, or as it ran last. */
  get service(): ServiceProcess {
    return this.#service;
  }

  /** The way to the store, where there is one to be cut. */
  get proxy(): StoreProxy {
    if (this.#store === undefined) throw new Error('the embedded engine has no network in between');
    return this.#store.proxy;
  }

  async enginePid(): Promise<number> {
    const engine = this.#store?.engine;
    if (engine === undefined) return this.#service.enginePid();
    return (await until(() => engine.pid, (pid) => pid !== undefined, BACK_MS)) as number;
  }

  /** Kills the engine, and resolves when another runs in its place. */
  async killEngine(): Promise<void> {
    const killed = await this.enginePid();
    signal(killed, 'SIGKILL');
    await until(() => isAlive(killed), (alive) => !alive, BACK_MS);
    await until(() => this.enginePid(), (pid) => pid !== killed, BACK_MS);
  }

  /**
   * Starts the service again, at once, as whoever watches over services does. The one before must be about to end.
   *
   * @param between called when it has ended and the next has not begun
   */
  async restart(between?: () => Promise<void>): Promise<void> {
    await inTime(this.#service.exited, 'the service to end', BACK_MS);
    await between?.();
    this.#lookThroughLog();
    for (const deadline = Date.now() + BACK_MS; ; await sleep(AGAIN_MS)) {
      try {
        this.#service = await startIn(this.folder, this.#options, this.#store, this.clockOffsetMs);
        return;
      } catch (error) {
        // Without its store it may say so and end, and is started again. Its own engine it must bring up by itself.
        if (this.#store === undefined || Date.now() > deadline) throw error;
        this.failedStarts++;
      }
    }
  }

  startLoad(): void {
    this.load.start(() => this.#service);
  }

  /** Ends the load's window, and says what is wrong with what the record shows of it; then the load goes on. */
  async check(): Promise<Verdict> {
    await this.#quiet();
    const verdict = await this.#check.window(this.#service);
    this.load.nextWindow();
    this.startLoad();
    return verdict;
  }

  /** Ends the load, and says what is wrong with the record as a whole. */
  async checkEverything(): Promise<Verdict> {
    await this.#quiet();
    return this.#check.everything(this.#service);
  }

  /** What verifying the record against its logs finds. The load must have ended. */
  async checkProof(): Promise<string[]> {
    const engine = this.#store?.engine;
    const options = engine === undefined
      ? JSON.parse(await readFile(join(this.folder.dataDir, 'engine.json'), 'utf8')) as StoreOptions
      : { url: engine.url, username: engine.username, password: engine.password, database: 'agent_audit' };
    return checkProof(this.folder.dataDir, options);
  }

  /** What got into the log and belongs into none. */
  leaks(): string[] {
    this.#lookThroughLog();
    return [...this.#leaked];
  }

  /** Ends everything. @param keepFolder for people to look into; else it is removed */
  async close(keepFolder = false): Promise<void> {
    await this.folder.end();
    await this.load.stop().catch(() => {});
    await stopStore(this.#store);
    for (const undo of this.#undo) await undo();
    open.delete(this);
    if (!keepFolder || closed) await this.folder.remove();
  }

  async #quiet(): Promise<void> {
    await this.load.stop();
    await this.load.finish(() => this.#service);
  }

  #lookThroughLog(): void {
    if (this.#service.log.includes(CONTENT)) this.#leaked.add('the content of events');
    for (const { name, key } of this.load.tenants) if (this.#service.log.includes(key)) this.#leaked.add(`the key of tenant ${name}`);
  }
}

const open = new Set<Scene>();

/** Not open yet; when its folder is ended, a scene that opens fails and takes everything along. */
const opening = new Set<ServiceFolder>();

/** Whoever ran the faults has had enough. */
let closed = false;

/** Ends all that is open or being opened, and opens none any more. */
export async function closeScenes(): Promise<void> {
  closed = true;
  await Promise.all([...opening].map((folder) => folder.end()));
  await until(() => opening.size, (n) => n === 0, BACK_MS);
  await Promise.all([...open].map((scene) => scene.close()));
}

function startIn(folder: ServiceFolder, { preload = [] }: SceneOptions, store: ProxiedStore | undefined, clockOffsetMs: number): Promise<ServiceProcess> {
  const settings: Record<string, string> = {
    // A disk that is full is one of the faults.
    DISK_RESERVE_BYTES: '0',
    ...(store === undefined ? {} : { CLICKHOUSE_URL: store.proxy.url, CLICKHOUSE_USER: store.engine.username, CLICKHOUSE_PASSWORD: store.engine.password }),
  };
  return inTime(folder.start({ settings, preload, env: { FAULTS_CLOCK_OFFSET_MS: String(clockOffsetMs) } }), 'the service to be ready', BACK_MS);
}

async function startStore(folder: ServiceFolder): Promise<ProxiedStore> {
  const engine = await startEmbeddedClickHouse({ dataDir: join(folder.dataDir, 'clickhouse'), maxMemoryBytes: ENGINE_BYTES });
  return { engine, proxy: await StoreProxy.start(engine.url) };
}

async function stopStore(store: ProxiedStore | undefined): Promise<void> {
  await store?.proxy.stop();
  await store?.engine.stop();
}
