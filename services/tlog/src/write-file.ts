import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * A file that is whole or as it was before, whatever happens meanwhile. When it resolves, it is on the disk for good.
 * A crash may leave `<path>.tmp`.
 */
export async function writeDurably(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  const temporary = `${path}.tmp`;
  // Another's file would keep its mode.
  await rm(temporary, { force: true });
  const handle = await open(temporary, 'wx', mode);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Makes the names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
