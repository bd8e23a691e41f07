import { connect } from 'node:net';

/**
 * Sends bytes that no HTTP client would send, and resolves with what comes back until the server closes, or until
 * it has said nothing for `quietMs`.
 *
 * @param end closes our half behind the bytes
 */
export function speak(url: string, bytes: string | Uint8Array, { end = true, quietMs = 2_000 } = {}): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let heard = '';
    const socket = connect({ host: hostname, port: Number(port) });
    const done = (): void => {
      socket.destroy();
      resolve(heard);
    };
    socket.setTimeout(quietMs, done);
    socket.on('connect', () => (end ? socket.end(bytes) : socket.write(bytes)));
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
    });
    socket.on('close', done);
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' || error.code === 'EPIPE' ? done() : reject(error)));
  });
}
