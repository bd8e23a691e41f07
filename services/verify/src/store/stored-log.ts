import { SALT_KEY_BYTES, Salts } from '@agent-audit/tlog';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CannotVerify } from '../finding.ts';
import type { SignedCheckpoint } from '../keys.ts';

/** A log whose events are in a store. Plain values: threads are told it. */
export interface StoredLog {
  readonly tenant: string;
  readonly collectorId: string;
  readonly logId: string;
  readonly origin: string;
  /** Where its hashes are. */
  readonly folder: string;
  /** Entries under the checkpoint. */
  readonly size: number;
  /** What its salts are derived from. */
  readonly secret: Uint8Array;
}

/** @param folder `<data>/logs/<tenant>@<collector>`: the secret of the salts is beside it @throws CannotVerify */
export async function storedLog(folder: string, { logId, origin, size }: SignedCheckpoint): Promise<StoredLog> {
  const [tenant, collectorId] = logId.split('/') as [string, string];
  const file = join(dirname(folder), 'salt-secret');
  const secret = await readFile(file).catch((error: unknown) => {
    throw new CannotVerify(`${file} is needed to read ${basename(folder)} against a store: ${(error as Error).message}`, { cause: error });
  });
  if (secret.length !== SALT_KEY_BYTES) throw new CannotVerify(`${file} has ${secret.length} bytes instead of ${SALT_KEY_BYTES}`);
  return { tenant, collectorId, logId, origin, folder, size, secret };
}

export function saltsOf({ secret, origin }: StoredLog): Salts {
  return new Salts(secret, origin);
}
