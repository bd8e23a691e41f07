import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { painter, wantsColour, type Paint } from './terminal.ts';

type Stream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Everything that a command sees of the outside. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  readonly stderr: Stream;
  /** Columns of the terminal on standard output; undefined when it is none. */
  readonly columns: number | undefined;
  /** Colours for standard output and for standard error, which need not go to the same place. */
  readonly paint: Paint;
  readonly paintError: Paint;
  /** Writes to standard output; resolves when it has taken the bytes, so that a slow reader slows us down. */
  out(text: string | Uint8Array): Promise<void>;
  outLine(text: string): Promise<void>;
  /** A line for the person, on standard error. */
  say(text: string): void;
}

const COLUMNS_WITHOUT_SIZE = 80;

export function processIo(): Io {
  const { stdin, stdout, stderr, env } = process;
  const out = async (text: string | Uint8Array): Promise<void> => {
    if (!stdout.write(text)) await once(stdout, 'drain');
  };
  return {
    env,
    stdin,
    stderr,
    columns: stdout.isTTY ? stdout.columns || COLUMNS_WITHOUT_SIZE : undefined,
    paint: painter(wantsColour(stdout, env)),
    paintError: painter(wantsColour(stderr, env)),
    out,
    outLine: (text) => out(`${text}\n`),
    say: (text) => void stderr.write(`${text}\n`),
  };
}
