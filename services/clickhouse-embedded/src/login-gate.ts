import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * The engine's own first session logs in as `default` with an empty password, which cannot be
 * changed; nobody else may. So the engine is configured to ask here (as its HTTP authenticator)
 * whether `default` may log in: the first question, asked before anything listens, is answered
 * with yes, every other one with no. Stays open as long as the process, for nobody else to answer
 * on its port. Resolves with the port, on loopback.
 */
export const openLoginGate = (): Promise<number> =>
  new Promise((resolve, reject) => {
    let asked = false;
    const server = createServer((_request, response) => {
      response.writeHead(asked ? 403 : 200, { connection: 'close' }).end();
      asked = true;
    });
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
