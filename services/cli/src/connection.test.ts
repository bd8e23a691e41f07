import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findConnection } from './connection.ts';

const dir = mkdtempSync(join(tmpdir(), 'agent-audit-cli-'));
afterAll(() => rmSync(dir, { recursive: true }));
const keyFile = join(dir, 'key');
writeFileSync(keyFile, 'from-file\n');

const said: string[] = [];
const io = (env: Record<string, string> = {}) => ({ env, say: (text: string) => void said.push(text) });

describe('findConnection', () => {
  it('takes the environment, and options before it', async () => {
    expect(await findConnection({}, io({ AGENT_AUDIT_KEY: 'k' }))).toEqual({ url: 'http://127.0.0.1:8080', key: 'k' });
    const env = { AGENT_AUDIT_URL: 'https://audit.example/base/', AGENT_AUDIT_KEY: 'k' };
    expect(await findConnection({}, io(env))).toEqual({ url: 'https://audit.example/base', key: 'k' });
    expect(await findConnection({ url: 'http://other:1', keyFile }, io(env))).toEqual({ url: 'http://other:1', key: 'from-file' });
    expect(said).toEqual([]);
  });

  it('warns of a key on the command line', async () => {
    expect((await findConnection({ key: 'seen' }, io())).key).toBe('seen');
    expect(said.pop()).toMatch(/others on this machine can see/);
  });

  it.each([
    [{}, {}],
    [{ keyFile: join(dir, 'none') }, {}],
    [{ key: 'a', keyFile }, {}],
    [{}, { AGENT_AUDIT_KEY: 'two words' }],
    [{ url: 'ftp://x' }, { AGENT_AUDIT_KEY: 'k' }],
    [{ url: 'http://user:pass@x' }, { AGENT_AUDIT_KEY: 'k' }],
    [{ url: 'localhost:8080' }, { AGENT_AUDIT_KEY: 'k' }],
  ])('refuses %j with %j as usage, without repeating a key', async (options, env) => {
    const error = await findConnection(options, io(env as Record<string, string>)).then(() => undefined, (reason: unknown) => reason as Error);
    expect(error).toMatchObject({ exitCode: 2 });
    expect(error?.message).not.toMatch(/two words|user:pass/);
  });
});
