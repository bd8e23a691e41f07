import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { tearNewest } from '../../support/tear.ts';
import type { Fault } from '../fault.ts';

/** Acknowledged while nothing reaches ClickHouse, so that there are segments on disk. */
const WAITING_EVENTS = 60;

/** SIGKILL of the service while segments wait for ClickHouse; the newest ends in bytes that are no record. */
export const tornSegment: Fault = {
  kind: 'torn-segment',
  houses: ['behind-proxy'],
  async inject(scene) {
    const { proxy } = scene;
    const segments = join(scene.folder.dataDir, 'segments');
    // Without segments, nothing would be acknowledged while nothing reaches ClickHouse.
    await access(segments);
    proxy.treat = ({ insertsInto }) => (insertsInto === undefined ? 'pass' : 'hang');
    try {
      await scene.load.progress(WAITING_EVENTS);
      scene.service.kill('SIGKILL');
      await scene.restart(async () => {
        const torn = await tearNewest(segments, '.segment', scene.random);
        if (torn === undefined) throw new Error('events were acknowledged while nothing reached ClickHouse, and there is no segment');
        proxy.release();
      });
    } finally {
      proxy.release();
    }
  },
};
