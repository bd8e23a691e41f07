import { createRequire, builtinModules } from 'node:module';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { EmbeddedClickHouseError } from './errors.ts';

/** `node:ffi` is listed also where its flag was not given; it exists from Node 26.1 on. */
const hasFfi = builtinModules.includes('node:ffi') || builtinModules.includes('ffi');

/**
 * The Node that runs the engine: this one where it knows `node:ffi`, else the one that npm's
 * package `node` brought, so that a machine with an older Node needs no upgrade.
 */
export const nodeWithFfi = (): string => {
  if (hasFfi) return process.execPath;
  try {
    const manifest = createRequire(import.meta.url).resolve('node/package.json');
    const packaged = join(dirname(manifest), 'bin', 'node');
    if (existsSync(packaged)) return packaged;
  } catch {
    // Not installed: told below.
  }
  throw new EmbeddedClickHouseError(
    'node-without-ffi',
    `the embedded ClickHouse needs Node 26.1 or newer (node:ffi); this is ${process.version}, and the npm package "node" is not installed`,
  );
};
