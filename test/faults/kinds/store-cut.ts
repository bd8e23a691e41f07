import { until } from '../../support/until.ts';
import type { Fault } from '../fault.ts';

/** No INSERT for so long, and there is something wrong with the load. */
const INSERT_MS = 60_000;
const INSERTS_MAX = 3;

/** Connections are cut at the worst moments of INSERTs: before, in the middle, and when all is done but the answer. */
export const storeCut: Fault = {
  kind: 'store-cut',
  houses: ['behind-proxy'],
  async inject({ proxy, random }) {
    let left = 1 + random.int(INSERTS_MAX);
    proxy.treat = ({ insertsInto }) => {
      if (insertsInto === undefined || left === 0) return 'pass';
      left--;
      return random.pick(['cut-before', 'cut-inside', 'cut-answer', 'cut-answer']);
    };
    await until(() => left, (n) => n === 0, INSERT_MS);
    proxy.release();
  },
};
