import { until } from '../../support/until.ts';
import type { Fault } from '../fault.ts';

const INSERT_MS = 60_000;

/**
 * ClickHouse dies between an insert's token and its part (see `kill-between-token-and-part`): the insert fails, nothing
 * of it is there, and the same insert sent again is answered with success and dropped.
 */
export const storeForgets: Fault = {
  kind: 'store-forgets',
  houses: ['behind-proxy'],
  async inject({ proxy }) {
    let forgotten: string | undefined;
    let claimed = false;
    proxy.treat = ({ insertsInto, token }) => {
      // Events only: what is refused is kept under a token that is never used again.
      if (insertsInto !== 'events' || token === undefined) return 'pass';
      if (forgotten === undefined) {
        forgotten = token;
        return 'cut-before';
      }
      if (token !== forgotten) return 'pass';
      claimed = true;
      return 'claim';
    };
    await until(() => claimed, Boolean, INSERT_MS);
    proxy.release();
  },
};
