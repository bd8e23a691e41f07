import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe } from 'vitest';

const run = promisify(execFile);
/** The folder is a module of its own, whatever is above it. */
const env = { ...process.env, GOWORK: 'off' };

const DOWNLOAD_MS = 60_000;

/** Why no Go program can be built from a folder with a go.mod; undefined: it can be. Modules are downloaded once and kept. */
async function missing(folder: string): Promise<string | undefined> {
  const tried = (args: string[]): Promise<string | undefined> => run('go', args, { cwd: folder, env, timeout: DOWNLOAD_MS }).then(() => undefined, (error: { stderr?: string; message: string }) => (error.stderr || error.message).trim().split('\n', 1)[0]);
  if ((await tried(['version'])) !== undefined) return 'no Go';
  const why = await tried(['mod', 'download']);
  return why === undefined ? undefined : `its modules could not be downloaded: ${why}`;
}

/** A suite that needs a Go program: skipped, with the reason in its name, where it cannot be built. @param folder with its go.mod */
export async function describeWithGo(name: string, folder: string, suite: () => void): Promise<void> {
  const why = await missing(folder);
  if (why === undefined) describe(name, suite);
  else describe.skip(`${name} (not run: ${why})`, suite);
}

export interface GoProgram {
  /** @returns its exit code and what it printed */
  run(args: readonly string[], input?: string): Promise<{ code: number; out: string; err: string }>;
  remove(): Promise<void>;
}

/** @throws what the compiler says */
export async function buildGo(folder: string): Promise<GoProgram> {
  const dir = await mkdtemp(join(tmpdir(), 'agent-audit-go-'));
  const program = join(dir, 'program');
  await run('go', ['build', '-buildvcs=false', '-o', program, '.'], { cwd: folder, env });
  return {
    run: (args, input = '') => new Promise((resolve, reject) => {
      const child = execFile(program, args, (error, out, err) => {
        if (error !== null && typeof error.code !== 'number') reject(error);
        else resolve({ code: error === null ? 0 : (error.code as number), out, err });
      });
      child.stdin?.end(input);
    }),
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
