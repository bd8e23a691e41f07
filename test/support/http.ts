import { Agent, request, type IncomingHttpHeaders } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** The body as JSON. */
  // oxlint-disable-next-line typescript/no-explicit-any -- a test says what it expects of an answer by asserting it
  json(): any;
}

export interface Send {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Uint8Array;
}

const connections = new Agent({ keepAlive: true, maxSockets: 32 });

/**
 * One request, with the path as it is given. `fetch` would tidy up the odd ones, which is what some tests are about.
 *
 * @param path such as `/v1/events?from=-1h`, already encoded
 */
export function send(url: string, path: string, { method = 'GET', headers = {}, body }: Send = {}): Promise<Answer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let answered = false;
    const outgoing = request({ hostname, port, path, method, headers: { ...headers }, agent: connections }, (incoming) => {
      answered = true;
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const bytes = Buffer.concat(chunks);
        const text = bytes.toString('utf8');
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, bytes, text, json: () => JSON.parse(text) as unknown });
      });
    });
    // A server may answer and close before it has read the whole of a body that it refuses.
    outgoing.on('error', (error) => void (answered || reject(error)));
    outgoing.end(body);
  });
}
