import { join } from 'node:path';
import { SmallDisk } from '../../support/small-disk.ts';
import { until } from '../../support/until.ts';
import { EVERYWHERE, type Fault } from '../fault.ts';

const DISK_BYTES = 8 * 1024 * 1024;
const REFUSES_WITHIN_MS = 60_000;

const disks = new Map<string, SmallDisk>();

/** The disk of the segments is full: recording is refused with 503, reading goes on, and with space so does recording. */
export const diskFull: Fault = {
  kind: 'disk-full',
  houses: EVERYWHERE,
  async prepare(dataDir) {
    const disk = await SmallDisk.mount(join(dataDir, 'segments'), DISK_BYTES);
    disks.set(dataDir, disk);
    return async () => {
      disks.delete(dataDir);
      await disk.unmount();
    };
  },
  async inject(scene) {
    const disk = disks.get(scene.folder.dataDir) as SmallDisk;
    const refused = (): number => scene.load.refusals.get(503) ?? 0;
    const before = refused();
    await disk.fill();
    try {
      await until(refused, (n) => n > before, REFUSES_WITHIN_MS);
      const { status } = await scene.service.get('/v1/events?from=-1h');
      if (status !== 200) throw new Error(`nothing can be read (${status}) while the disk is full`);
    } finally {
      await disk.free();
    }
  },
};
