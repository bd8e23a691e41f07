import { readdir, readFile, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { CannotVerify, folderSource, logsElsewhere, signedTombstones, verifyLog, verifyStore, type LogCheck, type Report, type TileSource, type Trust } from '@agent-audit/verify';
import { writeFile } from 'node:fs/promises';
import { Client } from '../client.ts';
import { findConnection, type ConnectionOptions } from '../connection.ts';
import { CliError, EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { startProgress } from '../progress.ts';
import { findStore, type StoreFlags } from './find-store.ts';
import { splitLogUrl, urlSource } from './url-source.ts';

export interface LogOptions extends Omit<StoreFlags, 'dataDir'>, ConnectionOptions {
  readonly from?: string;
  readonly save?: string;
  readonly againstStore?: boolean;
  readonly dataDir?: string;
}

/** One log to be verified. */
interface Target {
  readonly name: string;
  readonly source: TileSource;
  readonly logId: string | undefined;
  /** Undefined for a log on a server. */
  readonly folder: string | undefined;
  /** Where its older checkpoint is, and where to put the one that was checked. */
  readonly from: string | undefined;
  readonly save: string | undefined;
}

/** @param log a folder or an address; undefined: all logs of the data folder @throws CannotVerify; CliError */
export async function verifyLogs(log: string | undefined, options: LogOptions, trust: Trust, io: Io): Promise<Report[]> {
  const dataDir = options.dataDir ?? (log === undefined || dataDirOf(log) === undefined ? './data' : (dataDirOf(log) as string));
  const targets = log === undefined ? await allLogs(dataDir, options) : [await oneLog(log, options, io)];
  const reports: Report[] = log === undefined ? await gone(targets, options) : [];
  const checked: { readonly target: Target; readonly check: LogCheck }[] = [];
  for (const target of targets) checked.push({ target, check: await checkOne(target, trust, io) });
  if (options.againstStore === true) reports.push(...(await checkStore(checked, { ...options, dataDir }, log === undefined, trust, io)));
  else reports.push(...checked.map(({ check }) => check.report));
  if (reports.every((report) => report.findings_total === 0)) {
    for (const { target, check } of checked) if (target.save !== undefined && check.checkpoint !== undefined) await writeFile(target.save, check.checkpoint.note);
  }
  return reports;
}

async function checkOne({ name, source, logId, from }: Target, trust: Trust, io: Io): Promise<LogCheck> {
  const older = from === undefined ? undefined : await readFile(from, 'utf8').catch((error: unknown) => {
    throw new CannotVerify(`the older checkpoint cannot be read: ${(error as Error).message}`, { cause: error });
  });
  let progress: ReturnType<typeof startProgress> | undefined;
  try {
    return await verifyLog(source, {
      trust, from: older, logId,
      onEntries: (count, size) => {
        progress ??= startProgress(io, size, `entries of ${name}`);
        progress.read(count);
        progress.sent(count);
      },
    });
  } finally {
    progress?.stop();
  }
}

async function checkStore(checked: readonly { readonly target: Target; readonly check: LogCheck }[], flags: StoreFlags, whole: boolean, trust: Trust, io: Io): Promise<Report[]> {
  const store = await findStore(flags, io.env['AGENT_AUDIT_CLICKHOUSE_PASSWORD']);
  try {
    const reports: Report[] = [];
    for (const { target: { folder, name }, check: { checkpoint, report } } of checked) {
      // What nobody signed is nothing to compare with.
      if (checkpoint === undefined || folder === undefined || report.findings_total > 0) {
        reports.push({ ...report, not_checked: [`the record of ${name}: its log itself is not what was signed`] });
        continue;
      }
      const progress = startProgress(io, checkpoint.size, `events of ${name}`);
      const onRows = (rows: number): void => {
        progress.read(rows);
        progress.sent(rows);
      };
      try {
        const found = await verifyStore({ store: store.options, folder, checkpoint, threads: Math.min(4, availableParallelism()), tombstoneOf: signedTombstones(store.options, trust), onRows });
        reports.push({ ...found, checked: { ...report.checked, ...found.checked }, not_checked: [...report.not_checked.filter((text) => !text.includes('--against-store')), ...found.not_checked] });
      } finally {
        progress.stop();
      }
    }
    const elsewhere = whole ? await logsElsewhere(store.options, checked.map(({ check, target }) => check.checkpoint?.logId ?? target.logId ?? '')) : [];
    return elsewhere.length === 0 ? reports : [...reports, { findings: [], findings_total: 0, checked: {}, not_checked: elsewhere }];
  } finally {
    await store.close();
  }
}

async function oneLog(log: string, { from, save, ...options }: LogOptions, io: Io): Promise<Target> {
  if (!/^https?:/.test(log)) {
    const folder = resolve(log);
    return { name: basename(folder), source: await folderSource(folder), logId: idOf(basename(folder)), folder, from, save };
  }
  if (options.againstStore === true) throw new CliError(EXIT.usage, '--against-store needs the folder of the log: the salts of its entries are beside it');
  const { server, path, logId } = splitLogUrl(log);
  return { name: logId, source: urlSource(new Client(await findConnection({ ...options, url: server }, io)), path), logId, folder: undefined, from, save };
}

const SUFFIX = '.checkpoint';

/** Older checkpoints, and those to save, are in a folder, each under the name of its log. */
async function allLogs(dataDir: string, { from, save }: LogOptions): Promise<Target[]> {
  const logs = join(resolve(dataDir), 'logs');
  const names = (await readdir(logs).catch(() => [])).filter((name) => name.includes('@')).toSorted();
  if (names.length === 0) throw new CannotVerify(`there are no logs in ${logs}; name a log, or the data folder with --data-dir`);
  for (const folder of [from, save]) if (folder !== undefined && !(await stat(folder).then((found) => found.isDirectory(), () => false))) throw new CliError(EXIT.usage, `${folder} must be a folder: all logs are verified, and each has a checkpoint of its own there`);
  const saved = from === undefined ? [] : await readdir(from);
  return Promise.all(names.map(async (name) => {
    const folder = join(logs, name);
    const file = name + SUFFIX;
    return {
      name, folder, source: await folderSource(folder), logId: idOf(name),
      from: from !== undefined && saved.includes(file) ? join(from, file) : undefined, save: save === undefined ? undefined : join(save, file),
    };
  }));
}

/** Logs that were there when their checkpoints were saved. */
async function gone(targets: readonly Target[], { from }: LogOptions): Promise<Report[]> {
  if (from === undefined) return [];
  const names = (await readdir(from)).filter((name) => name.endsWith(SUFFIX)).map((name) => name.slice(0, -SUFFIX.length)).filter((name) => !targets.some((target) => target.name === name));
  return names.map((name) => ({ findings: [{ finding: 'log_shrunk', log_id: idOf(name) ?? name, detail: 'it is gone; a checkpoint of it was saved' }], findings_total: 1, checked: {}, not_checked: [] }));
}

/** `<tenant>@<collector>` is how a collector names folders; any other name says nothing. */
function idOf(name: string): string | undefined {
  return /^[^@]+@[^@]+$/.test(name) ? name.replace('@', '/') : undefined;
}

function dataDirOf(log: string): string | undefined {
  const logs = dirname(resolve(log));
  return basename(logs) === 'logs' ? dirname(logs) : undefined;
}
