import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { scanEvent } from '@agent-audit/schemas';
import { CliError, EXIT } from './exit-codes.ts';
import { splitRecords } from './split-json.ts';
import { safe } from './terminal.ts';

export interface SourceRecord {
  readonly bytes: Uint8Array;
  /** Where it stands, for messages: `trail.ndjson:17`. */
  readonly at: string;
}

export interface ReadOptions {
  /** Member that wraps the records in a file of one object. */
  readonly wrapper: string | undefined;
  /** Told of bytes of the file as they are read, before they are unpacked. */
  readonly onBytes?: (count: number) => void;
}

/** Files that are one JSON value are read whole; beyond this they must be NDJSON. */
const WHOLE_MAX = 512 * 1024 * 1024;
const NESTING_MAX = 4096;

/**
 * The records of one file (`-` is standard input), gzip or not. NDJSON is read line by line, in memory that does
 * not grow with the file; a file whose first line is no whole value is read whole.
 *
 * @throws CliError when the file cannot be read or is not JSON
 */
export async function* readRecords(path: string, stdin: Readable, options: ReadOptions): AsyncGenerator<SourceRecord> {
  const name = path === '-' ? 'stdin' : safe(basename(path));
  const lines = new LineReader();
  let form: 'unknown' | 'lines' | 'whole' = 'unknown';
  try {
    for await (const chunk of unpacked(path === '-' ? stdin : createReadStream(path, { highWaterMark: 256 * 1024 }), options.onBytes)) {
      lines.push(chunk);
      if (form === 'unknown') {
        const first = lines.peek();
        if (first !== undefined) form = scanEvent(first, 0, first.length, NESTING_MAX).ok ? 'lines' : 'whole';
      }
      if (form === 'lines') for (const line of lines.take()) yield* recordsOfLine(line, name, options.wrapper);
      else if (lines.buffered > WHOLE_MAX) throw new CliError(EXIT.rejected, `${name}: a file that is not NDJSON may have ${WHOLE_MAX / 1024 / 1024} MiB at most`);
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CliError(
      code === 'ENOENT' ? EXIT.usage : EXIT.rejected,
      `${name}: ${code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'is a folder; name the files in it' : safe(message)}`,
      { cause: error },
    );
  }
  if (form === 'lines') {
    for (const line of lines.rest()) yield* recordsOfLine(line, name, options.wrapper);
    return;
  }
  const whole = lines.all();
  const split = splitRecords(whole, options.wrapper);
  if (!split.ok) throw new CliError(EXIT.rejected, `${name}: is not JSON: ${split.message} (line ${split.line})`);
  for (const [i, { start, end }] of split.ranges.entries()) yield { bytes: whole.subarray(start, end), at: `${name} record ${i + 1}` };
}

function* recordsOfLine({ bytes, line }: Line, name: string, wrapper: string | undefined): Generator<SourceRecord> {
  const at = `${name}:${line}`;
  // A whole log file on a line; what is no whole value goes to the server, which keeps it and says what is wrong.
  const split = wrapper !== undefined && bytes.indexOf(`"${wrapper}"`) !== -1 ? splitRecords(bytes, wrapper) : undefined;
  if (split === undefined || !split.ok || split.ranges.length < 2) {
    const only = split?.ok === true ? split.ranges[0] : undefined;
    if (split?.ok === true && only === undefined) return;
    yield { bytes: only === undefined ? bytes : bytes.subarray(only.start, only.end), at };
  } else for (const [i, { start, end }] of split.ranges.entries()) yield { bytes: bytes.subarray(start, end), at: `${at} record ${i + 1}` };
}

/** Gzip is known by its first two bytes (RFC 1952), not by the file's name: standard input has none. */
async function* unpacked(source: Readable, onBytes: ReadOptions['onBytes']): AsyncGenerator<Buffer> {
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      onBytes?.(chunk.length);
      done(null, chunk);
    },
  });
  const failed = pipeline(source, counted);
  failed.catch(() => {});
  const iterator = counted[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const { value, done } = await iterator.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  const again = async function* (): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head;
    for (;;) {
      const { value, done } = await iterator.next();
      if (done === true) return;
      yield value;
    }
  };
  if (head[0] === 0x1f && head[1] === 0x8b) {
    const gunzip = createGunzip();
    const piped = pipeline(again, gunzip);
    piped.catch(() => {});
    yield* gunzip as AsyncIterable<Buffer>;
    await piped;
  } else yield* again();
  await failed;
}

interface Line {
  readonly bytes: Buffer;
  /** From 1. */
  readonly line: number;
}

/** Cuts chunks into lines, holding no more than the line that is not yet whole. */
class LineReader {
  #chunks: Buffer[] = [];
  #line = 0;
  buffered = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.buffered += chunk.length;
  }

  /** The first line that is not blank, once it is whole. */
  peek(): Buffer | undefined {
    if (this.#chunks.at(-1)?.includes(0x0a) !== true) return undefined;
    const text = this.all();
    this.#chunks = [text];
    for (let start = 0; ; ) {
      const feed = text.indexOf(0x0a, start);
      if (feed === -1) return undefined;
      const line = text.subarray(start, feed);
      if (!isBlank(line)) return trimmed(line, start === 0);
      start = feed + 1;
    }
  }

  /** The lines that are whole. */
  *take(): Generator<Line> {
    const last = this.#chunks.at(-1);
    if (last?.includes(0x0a) !== true) return;
    const text = this.all();
    const end = text.lastIndexOf(0x0a) + 1;
    // A copy, so that a few bytes do not keep the whole chunk alive.
    this.#chunks = end === text.length ? [] : [Buffer.from(text.subarray(end))];
    this.buffered = text.length - end;
    yield* this.#split(text.subarray(0, end));
  }

  /** What stands behind the last line break. */
  *rest(): Generator<Line> {
    const text = this.all();
    this.#chunks = [];
    this.buffered = 0;
    yield* this.#split(text);
  }

  all(): Buffer {
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks, this.buffered);
  }

  *#split(text: Buffer): Generator<Line> {
    for (let start = 0; start < text.length; ) {
      const feed = text.indexOf(0x0a, start);
      const end = feed === -1 ? text.length : feed;
      this.#line++;
      const line = text.subarray(start, end);
      if (!isBlank(line)) yield { bytes: trimmed(line, this.#line === 1), line: this.#line };
      start = end + 1;
    }
  }
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

/** Without the CR of a CRLF, and without the byte order mark that may lead a file. */
function trimmed(line: Buffer, first: boolean): Buffer {
  const start = first && line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf ? 3 : 0;
  return line.subarray(start, line.at(-1) === 0x0d ? -1 : line.length);
}
