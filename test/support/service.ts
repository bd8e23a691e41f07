import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEvent, Scope } from '@agent-audit/schemas';
import { createLog, readConfig } from '@agent-audit/shared';
import { startStandalone } from '@agent-audit/standalone';
import { ndjson } from './events.ts';
import { send, type Answer, type Send } from './http.ts';
import { Tenant } from './tenant.ts';
import { until } from './until.ts';

export interface PostOptions {
  /** Content-Type; default application/json. */
  readonly type?: string;
  /** Content-Encoding. */
  readonly encoding?: string;
  readonly key?: string | undefined;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface NewKeyOptions {
  readonly tenant?: string;
  readonly scopes?: readonly Scope[];
  readonly expiresAt?: string;
}

let tenants = 0;

/** A service as a client sees it. */
export class ServiceClient {
  readonly url: string;
  readonly adminKey: string;

  constructor(url: string, adminKey: string) {
    this.url = url;
    this.adminKey = adminKey;
  }

  send(path: string, options: Send & { readonly key?: string | undefined } = {}): Promise<Answer> {
    const { key, headers, ...rest } = options;
    return send(this.url, path, { ...rest, headers: { ...(key === undefined ? {} : { authorization: `Bearer ${key}` }), ...headers } });
  }

  get(path: string, key: string | undefined = this.adminKey): Promise<Answer> {
    return this.send(path, { key });
  }

  post(body: string | Uint8Array, options: PostOptions = {}): Promise<Answer> {
    const { type = 'application/json', encoding, key = this.adminKey, path = '/v1/events', headers } = options;
    return this.send(path, {
      method: 'POST', key, body, headers: { 'content-type': type, prefer: `wait=${WAIT_S}`, ...(encoding === undefined ? {} : { 'content-encoding': encoding }), ...headers },
    });
  }

  /** @returns the secret of a new key */
  async newKey({ tenant = 'default', scopes = ['events:write', 'events:read'], expiresAt }: NewKeyOptions = {}): Promise<string> {
    const body = JSON.stringify({ name: 'test', tenant, scopes, ...(expiresAt === undefined ? {} : { expires_at: expiresAt }) });
    const answer = await this.post(body, { path: '/v1/keys' });
    if (answer.status !== 201) throw new Error(`no key was made: ${answer.status} ${answer.text}`);
    return (answer.json() as { secret: string }).secret;
  }

  /** A tenant of its own for each test, so that no test sees what another did. */
  async newTenant(): Promise<Tenant> {
    tenants++;
    const name = `tenant-${tenants}`;
    return new Tenant(this, name, await this.newKey({ tenant: name }));
  }
}

/** What a test has recorded, it looks for at once. */
const WAIT_S = 20;

export class TestService extends ServiceClient {
  readonly #stop: () => Promise<void>;
  readonly enginePid: () => number | undefined;
  readonly dataDir: string;

  constructor(url: string, adminKey: string, dataDir: string, enginePid: () => number | undefined, stop: () => Promise<void>) {
    super(url, adminKey);
    this.dataDir = dataDir;
    this.enginePid = enginePid;
    this.#stop = stop;
  }

  /** Stops the service and removes all that it recorded. */
  stop(): Promise<void> {
    return this.#stop();
  }
}

/** A fresh folder, and how to get rid of it. */
async function newDataDir(): Promise<{ dataDir: string; remove: () => Promise<void> }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'agent-audit-e2e-'));
  return { dataDir, remove: () => rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }) };
}

/**
 * The whole service in this process, on a free port and a folder of its own.
 *
 * @param settings further `AGENT_AUDIT_*` variables, without the prefix
 */
export async function startService(settings: Readonly<Record<string, string>> = {}): Promise<TestService> {
  const { dataDir, remove } = await newDataDir();
  try {
    const adminKey = 'e2e-admin-key-'.padEnd(43, '0');
    const config = readConfig(environment({ PORT: '0', DATA_DIR: dataDir, ADMIN_KEY: adminKey, LOG_LEVEL: 'fatal', ...settings }));
    const service = await startStandalone(config, createLog(config.LOG_LEVEL, 'e2e'));
    return new TestService(service.url, adminKey, dataDir, service.enginePid, () => service.stop().finally(remove));
  } catch (error) {
    await remove();
    throw error;
  }
}

function environment(settings: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [`AGENT_AUDIT_${name}`, value]));
}

const MAIN = new URL('../../services/standalone/src/main.ts', import.meta.url);

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The service as `npm start` runs it: a process of its own, whose engine is a child of it. */
export class ServiceProcess extends ServiceClient {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #said: { out: string };

  constructor(child: ChildProcess, url: string, adminKey: string, exited: Promise<Exit>, said: { out: string }) {
    super(url, adminKey);
    this.#child = child;
    this.pid = child.pid as number;
    this.exited = exited;
    this.#said = said;
  }

  /** What it has logged so far. */
  get log(): string {
    return this.#said.out;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** For a module that a test loaded into the process. */
  tell(message: object): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  /** The engine's process, once it runs. */
  async enginePid(): Promise<number> {
    const pids = await until(() => childrenOf(this.pid), (found) => found.length > 0, 20_000);
    return pids[0] as number;
  }
}

export interface Start {
  /** Further `AGENT_AUDIT_*` variables, without the prefix. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Modules that are loaded into the process before it begins. */
  readonly preload?: readonly URL[];
  /** Further variables of the environment, for those modules. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A folder in which services are started one after the other, as after a crash. */
export class ServiceFolder {
  readonly adminKey = 'e2e-admin-key-'.padEnd(43, '1');
  readonly dataDir: string;
  readonly #remove: () => Promise<void>;
  readonly #started: ServiceProcess[] = [];
  #ended = false;
  /** Not ready, and perhaps never. */
  readonly #starting = new Set<ChildProcess>();
  /** Engines that outlived the service that was killed above them. */
  readonly #engines = new Set<number>();

  private constructor(dataDir: string, remove: () => Promise<void>) {
    this.dataDir = dataDir;
    this.#remove = remove;
  }

  static async make(): Promise<ServiceFolder> {
    const { dataDir, remove } = await newDataDir();
    return new ServiceFolder(dataDir, remove);
  }

  /** Resolves when the service says that it is ready. */
  async start({ settings = {}, preload = [], env = {} }: Start = {}): Promise<ServiceProcess> {
    if (this.#ended) throw new Error('the folder is not in use any more');
    const child = fork(MAIN, {
      execPath: process.execPath,
      execArgv: preload.flatMap((module) => ['--import', module.href]),
      env: { PATH: process.env['PATH'], ...env, ...environment({ PORT: '0', DATA_DIR: this.dataDir, ADMIN_KEY: this.adminKey, LOG_LEVEL: 'info', ...settings }) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#starting.add(child);
    const exited = new Promise<Exit>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    const said = { out: '' };
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said.out += text;
    });
    let told = '';
    const url = await new Promise<string>((resolve, reject) => {
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        told += text;
        const found = /ready at (\S+)/.exec(told)?.[1];
        if (found !== undefined) resolve(found);
      });
      void exited.then(() => reject(new Error(`the service ended before it was ready: ${told}\n${said.out}`)));
    });
    const service = new ServiceProcess(child, url, this.adminKey, exited, said);
    this.#started.push(service);
    this.#starting.delete(child);
    if (settings['CLICKHOUSE_URL'] === undefined) this.#engines.add(await service.enginePid());
    return service;
  }

  /** Ends whatever still runs, and removes the folder. */
  async remove(): Promise<void> {
    await this.end();
    await this.#remove();
  }

  /** Ends whatever still runs. */
  async end(): Promise<void> {
    this.#ended = true;
    for (const child of this.#starting) child.kill('SIGKILL');
    for (const service of this.#started) {
      for (const pid of await childrenOf(service.pid)) this.#engines.add(pid);
      service.kill('SIGKILL');
      await service.exited;
    }
    for (const pid of this.#engines) if (await isEngine(pid)) signal(pid, 'SIGKILL');
    await until(() => Promise.all([...this.#engines].map(isEngine)), (alive) => !alive.includes(true), 20_000);
  }
}

/** Sends a signal to a process that may be gone already. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Processes whose parent is `pid`, out of /proc (Linux), without those that are dead but not yet reaped. */
async function childrenOf(pid: number): Promise<number[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(names.map(async (name) => ({ pid: Number(name), stat: await statOf(Number(name)) })));
  return stats.filter(({ stat }) => stat !== undefined && stat.parent === pid && stat.state !== 'Z').map((found) => found.pid);
}

/** Whether a process runs; a zombie, which nobody has asked for yet, does not. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await statOf(pid);
  return stat !== undefined && stat.state !== 'Z';
}

/** A process id may be given out again, so a process is known by its command line too. */
async function isEngine(pid: number): Promise<boolean> {
  if ((await statOf(pid))?.state === 'Z') return false;
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes('clickhouse-embedded');
}

async function statOf(pid: number): Promise<{ state: string; parent: number } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in parentheses may hold anything.
  const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return state === undefined || parent === undefined ? undefined : { state, parent: Number(parent) };
}

/** Body and media type of many events. */
export function lines(events: readonly (AuditEvent | string)[]): [body: string, options: { type: string }] {
  return [ndjson(events), { type: 'application/x-ndjson' }];
}
