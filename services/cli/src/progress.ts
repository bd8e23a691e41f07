import { SingleBar } from 'cli-progress';
import type { Io } from './io.ts';

/** A bar on standard error, on a terminal only. Without a total there is nothing to fill, so it counts. */
export interface Progress {
  read(bytes: number): void;
  sent(records: number): void;
  /** Above the bar. */
  say(text: string): void;
  stop(): void;
}

/** @param total bytes of all files; undefined when that cannot be known @param unit of what is counted */
export function startProgress(io: Io, total: number | undefined, unit = 'records'): Progress {
  if (io.stderr.isTTY !== true) return { read() {}, sent() {}, say: io.say, stop() {} };
  let bytes = 0;
  let records = 0;
  const bar = new SingleBar({
    stream: io.stderr,
    format: total === undefined ? `{records} ${unit}` : `[{bar}] {percentage}% | {records} ${unit} | {eta_formatted} left`,
    clearOnComplete: true,
    // Else an interrupt would leave the terminal without a cursor, and without line wrapping.
    hideCursor: null,
    linewrap: true,
    etaBuffer: 50,
    fps: 10,
    gracefulExit: false,
  });
  bar.start(total ?? 1, 0, { records: '0' });
  const show = (): void => bar.update(total === undefined ? 0 : Math.min(bytes, total), { records: records.toLocaleString('en') });
  return {
    read(count) {
      bytes += count;
      show();
    },
    sent(count) {
      records += count;
      show();
    },
    say(text) {
      io.stderr.write(`\r\u001b[K${text}\n`);
      show();
    },
    stop() {
      bar.stop();
    },
  };
}
