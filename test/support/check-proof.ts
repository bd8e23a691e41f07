import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoreOptions } from '@agent-audit/queries';
import { folderSource, readTrust, signedTombstones, verifyLog, verifyStore } from '@agent-audit/verify';
import { until } from './until.ts';

/**
 * What `agent-audit verify log --against-store` says of a data folder, by all keys that its service ever had: nobody tampered with it, so
 * whatever it finds is a false alarm.
 */
export async function checkProof(dataDir: string, store: StoreOptions): Promise<string[]> {
  const keys = JSON.parse(await readFile(join(dataDir, 'log-keys', 'keys.json'), 'utf8')) as { keys: { public_key: string }[] };
  const trust = readTrust(keys.keys.map((key) => key.public_key));
  const found: string[] = [];
  for (const name of await readdir(join(dataDir, 'logs'))) {
    if (!name.includes('@')) continue;
    const folder = join(dataDir, 'logs', name);
    await until(() => access(join(folder, 'checkpoint')).then(() => true, () => false), (signed) => signed);
    const { checkpoint, report } = await verifyLog(await folderSource(folder), { trust, logId: name.replace('@', '/') });
    const reports = checkpoint === undefined ? [report] : [report, await verifyStore({ store, folder, checkpoint, threads: 1, tombstoneOf: signedTombstones(store, trust) })];
    for (const { findings } of reports) found.push(...findings.map(({ finding, log_index: index, detail }) => `${name}: ${finding} ${index ?? ''} ${detail}`));
  }
  return found;
}
