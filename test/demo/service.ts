import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog, readConfig } from '@agent-audit/shared';
import { startStandalone } from '@agent-audit/standalone';

export interface DemoService {
  readonly url: string;
  readonly key: string;
  /** Made for this demo; it goes, with all it recorded, at `stop`. */
  readonly own: boolean;
  stop(): Promise<void>;
}

/** Where `npm start` listens. */
const DEFAULT_URL = 'http://127.0.0.1:8080';

/** The service that the environment names, or one of our own on a free port and a temporary folder. */
export async function findService(env: Readonly<Record<string, string | undefined>>): Promise<DemoService> {
  const { AGENT_AUDIT_URL: url, AGENT_AUDIT_KEY: key } = env;
  if (key) return { url: (url || DEFAULT_URL).replace(/\/+$/, ''), key, own: false, stop: async () => {} };
  if (url) throw new Error('AGENT_AUDIT_URL is set, but AGENT_AUDIT_KEY is not: the demo needs a key with events:write and events:read.');
  const dataDir = await mkdtemp(join(tmpdir(), 'agent-audit-demo-'));
  const remove = (): Promise<void> => rm(dataDir, { recursive: true, force: true });
  try {
    const config = readConfig({ AGENT_AUDIT_DATA_DIR: dataDir, AGENT_AUDIT_PORT: '0', AGENT_AUDIT_LOG_LEVEL: 'silent' });
    const service = await startStandalone(config, createLog(config.LOG_LEVEL, 'demo'));
    if (service.adminKey === undefined) throw new Error('a fresh service made no key');
    return { url: service.url, key: service.adminKey, own: true, stop: () => service.stop().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}
