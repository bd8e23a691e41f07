/** What the exit code says; `--help` and the README list the same. */
export const EXIT = {
  ok: 0,
  rejected: 1,
  usage: 2,
  unreachable: 3,
  notAllowed: 4,
  serverFailed: 5,
  incomplete: 6,
  findings: 7,
  unverifiable: 8,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const MEANING: readonly (readonly [ExitCode, string])[] = [
  [EXIT.ok, 'done'],
  [EXIT.rejected, 'something was rejected or not found'],
  [EXIT.usage, 'the command line or a query parameter is wrong'],
  [EXIT.unreachable, 'the server cannot be reached'],
  [EXIT.notAllowed, 'not allowed: the key is unknown or lacks a scope'],
  [EXIT.serverFailed, 'the server failed'],
  [EXIT.incomplete, '--require-complete was given and the record of the window is not proven complete'],
  [EXIT.findings, 'verify: something is not as it was signed; each finding is named'],
  [EXIT.unverifiable, 'verify: nobody can tell; something that is needed is missing or cannot be read'],
  [EXIT.interrupted, 'interrupted'],
];

export function describeExitCodes(): string {
  return ['Exit codes:', ...MEANING.map(([code, text]) => `  ${String(code).padStart(3)}  ${text}`)].join('\n');
}

/** A failure that is told in one line on standard error; its message is for the person at the terminal. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
