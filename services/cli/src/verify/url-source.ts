import { CHECKPOINT, tilePath } from '@agent-audit/tlog';
import { CannotVerify, type TileSource } from '@agent-audit/verify';
import { AnswerError, type Client } from '../client.ts';

/** A log as a server shows it. @param path `/v1/logs/<tenant>/<collector>` */
export function urlSource(client: Client, path: string): TileSource {
  return {
    checkpoint: async () => (await client.ask(`${path}/${CHECKPOINT}`)).toString('utf8'),
    read: async (tile) => {
      try {
        return await client.ask(`${path}/${tilePath(tile)}`);
      } catch (error) {
        if (error instanceof AnswerError && error.status === 404) return new Uint8Array(0);
        throw error;
      }
    },
  };
}

/** Takes the address of a log apart. @throws CannotVerify */
export function splitLogUrl(text: string): { readonly server: string; readonly path: string; readonly logId: string } {
  const [, server, path, tenant, collector] = /^(https?:\/\/.+?)(\/v1\/logs\/([^/?#]+)\/([^/?#]+))\/?$/.exec(text) ?? [];
  if (server === undefined || path === undefined) throw new CannotVerify(`${text} is not the address of a log: <server>/v1/logs/<tenant>/<collector>`);
  return { server, path, logId: `${tenant}/${collector}` };
}
