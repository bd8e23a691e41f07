#!/usr/bin/env node
// Starts the command line with a Node that runs TypeScript: this one, or the one that npm installed beside it.
// Plain JavaScript of Node 18, because this file runs on whatever `node` is on PATH.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAJOR_NEEDED = 26;
const runsTypeScript = Boolean(process.features.typescript);

if (runsTypeScript && Number(process.versions.node.split('.')[0]) >= MAJOR_NEEDED) await here();
else {
  const node = bundledNode();
  if (node !== undefined) elsewhere(node);
  else if (runsTypeScript) await here();
  else {
    process.stderr.write(`agent-audit: needs Node ${MAJOR_NEEDED} or later (this is ${process.versions.node}), or \`npm install\` in the checkout, which brings one\n`);
    process.exitCode = 2;
  }
}

async function here() {
  // That a part of Node is experimental is nothing to the person at the terminal.
  process.removeAllListeners('warning');
  await import('../src/main.ts');
}

function bundledNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve('node/package.json');
    return join(dirname(manifest), 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  } catch {
    return undefined;
  }
}

function elsewhere(node) {
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal's Ctrl-C reaches both processes: the one that does the work decides how it ends.
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const forward = (signal) => child.kill(signal);
  for (const signal of signals) process.on(signal, forward);
  child.on('error', (error) => {
    process.stderr.write(`agent-audit: cannot start ${node}: ${error.message}\n`);
    process.exitCode = 2;
  });
  child.on('exit', (code, signal) => {
    for (const name of signals) process.off(name, forward);
    if (signal !== null) process.kill(process.pid, signal);
    else process.exitCode = code ?? 1;
  });
}
