import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Stands between the service and ClickHouse, and can be closed: then connections are cut and new ones refused. */
export class SwitchedProxy {
  #server: Server | undefined;
  #port = 0;
  #target = { host: '', port: 0 };
  readonly #sockets = new Set<Socket>();

  /** @returns the address to speak to in place of `url` */
  async start(url: string): Promise<string> {
    const { hostname, port } = new URL(url);
    this.#target = { host: hostname, port: Number(port) };
    await this.#listen();
    return `http://127.0.0.1:${this.#port}`;
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  open(): void {
    void this.#listen();
  }

  async stop(): Promise<void> {
    this.close();
  }

  async #listen(): Promise<void> {
    const server = createServer((socket) => {
      const onward = connect(this.#target);
      for (const [from, to] of [[socket, onward], [onward, socket]] as const) {
        this.#sockets.add(from);
        from.on('error', () => to.destroy());
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    });
    this.#server = server;
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
  }
}
