import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoreOptions } from '@agent-audit/queries';
import { CannotVerify } from '@agent-audit/verify';

export interface StoreFlags {
  readonly dataDir: string;
  readonly clickhouseUrl?: string;
  readonly clickhouseUser?: string;
  readonly clickhouseDatabase: string;
}

/** A ClickHouse to read the record from. */
export interface FoundStore {
  readonly options: StoreOptions;
  /** Ends what was started for it. */
  close(): Promise<void>;
}

/**
 * A server, where one is named; else the engine of the service that runs on the data folder; else, where none runs, an engine of our own
 * on that folder, which no service can use meanwhile.
 *
 * @param password of the server
 * @throws CannotVerify
 */
export async function findStore({ dataDir, clickhouseUrl, clickhouseUser, clickhouseDatabase: database }: StoreFlags, password: string | undefined): Promise<FoundStore> {
  const nothing = async (): Promise<void> => {};
  if (clickhouseUrl !== undefined) return { options: { url: clickhouseUrl, username: clickhouseUser ?? 'default', password: password ?? '', database }, close: nothing };
  const running = await runningEngine(dataDir);
  if (running !== undefined) return { options: running, close: nothing };
  const folder = join(dataDir, 'clickhouse');
  if (!(await stat(folder).then((found) => found.isDirectory(), () => false))) throw new CannotVerify(`there is no record in ${dataDir}: ${folder} is missing; name the folder with --data-dir, or a server with --clickhouse-url`);
  const { holdDataFolder } = await import('@agent-audit/shared');
  const { startEmbeddedClickHouse } = await import('@agent-audit/clickhouse-embedded');
  const giveBack = await holdDataFolder(dataDir).catch((error: unknown) => {
    throw new CannotVerify(`a service runs in ${dataDir}, and its engine does not answer: ${(error as Error).message}`, { cause: error });
  });
  try {
    const engine = await startEmbeddedClickHouse({ dataDir: folder });
    return {
      options: { url: engine.url, username: engine.username, password: engine.password, database },
      close: async () => {
        await engine.stop();
        giveBack();
      },
    };
  } catch (error) {
    giveBack();
    throw new CannotVerify(`the engine of ${dataDir} cannot be started: ${(error as Error).message}`, { cause: error });
  }
}

/** What a running service left for us; undefined where it is gone. */
async function runningEngine(dataDir: string): Promise<StoreOptions | undefined> {
  const text = await readFile(join(dataDir, 'engine.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const { Store } = await import('@agent-audit/queries');
  const options = JSON.parse(text) as StoreOptions;
  const store = new Store(options);
  try {
    return (await store.ping()) ? options : undefined;
  } finally {
    await store.close();
  }
}
