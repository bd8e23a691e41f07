import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const NODE = new URL('../../node_modules/.bin/node', import.meta.url).pathname;
const MAIN = new URL('./main.ts', import.meta.url).pathname;

it('starts a service, tells the incident out of its answers, and removes it', async () => {
  const { stdout, stderr } = await promisify(execFile)(NODE, [MAIN], { env: { PATH: process.env['PATH'] } });
  expect(stderr).toBe('');
  expect(stdout).not.toContain('\u001b');
  expect(stdout).toMatch(/NEW the first time that it used db\.query, and touched anything under crm:\/\/tables\//);
  expect(stdout).toMatch(/NEW the first time that it touched data marked pii/);
  expect(stdout).toMatch(/DENIED by policy egress-allowlist/);
  expect(stdout).toMatch(/Left +412,776 bytes to collect\.invoice-sync\.example/);
  expect(stdout).toMatch(/Missing +3 events of tool-gateway-/);
  expect(stdout).toMatch(/^npx agent-audit timeline agent:ticket-triage-/m);
  expect(stdout).toMatch(/^curl /m);
  // Reading another ticket is nothing new.
  expect(stdout).not.toContain('helpdesk://');
}, 20_000);
