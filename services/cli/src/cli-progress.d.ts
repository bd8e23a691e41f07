/** The part of cli-progress that is used here; the package brings no types. */
declare module 'cli-progress' {
  export interface Options {
    stream?: NodeJS.WritableStream;
    format?: string;
    clearOnComplete?: boolean;
    hideCursor?: boolean | null;
    linewrap?: boolean;
    etaBuffer?: number;
    fps?: number;
    gracefulExit?: boolean;
  }
  export class SingleBar {
    constructor(options: Options);
    start(total: number, startValue: number, payload?: Record<string, string>): void;
    update(value: number, payload?: Record<string, string>): void;
    stop(): void;
  }
}
