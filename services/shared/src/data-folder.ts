import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const SQLITE_BUSY = 5;

/**
 * Makes the data folder where it does not exist, and holds it until it is given back or the process ends, however it
 * ends: two services in one folder would take each other's segments for their own. SQLite is here for its file lock
 * alone, which Node.js does not offer, and which also holds between containers that share a volume.
 *
 * @returns gives the folder back
 * @throws Error when another service uses it
 */
export async function holdDataFolder(folder: string): Promise<() => void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = new DatabaseSync(join(folder, 'lock'));
  try {
    file.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    file.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
    throw new Error(`another service is using ${folder}; stop it first, or choose another folder (AGENT_AUDIT_DATA_DIR)`, { cause: error });
  }
  return () => file.close();
}
