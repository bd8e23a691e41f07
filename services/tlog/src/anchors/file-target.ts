import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../write-file.ts';
import type { AnchorTarget } from './anchor.ts';

/**
 * Appends each checkpoint, and an empty line, to `<origin, percent-encoded>.checkpoints` in a folder that is there. The folder is
 * not made: where its file system is not mounted, that has to be seen.
 */
export function fileTarget(folder: string): AnchorTarget {
  return {
    name: `file:${folder}`,
    // A file system over a network that hangs must not take more than one of libuv's threads: recording needs them.
    concurrency: 1,
    anchor: async ({ origin, checkpoint }) => {
      const handle = await open(join(folder, `${encodeURIComponent(origin)}.checkpoints`), 'a+', 0o644);
      try {
        const { size } = await handle.stat();
        const end = Buffer.alloc(2);
        if (size > 0) await handle.read(end, 0, 2, Math.max(size - 2, 0));
        // A crash may have left half a checkpoint.
        const isTorn = size > 0 && end.toString() !== '\n\n';
        await handle.appendFile(`${isTorn ? '\n\n' : ''}${checkpoint}\n`);
        await handle.sync();
        if (size === 0) await syncFolder(folder);
      } finally {
        await handle.close();
      }
      return [];
    },
  };
}
