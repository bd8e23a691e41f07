import { formatNanos, KeyCreated, KeyList, parseTime, SCOPES, type KeyInfo } from '@agent-audit/schemas';
import { Command, Option } from 'commander';
import { notOurs } from '../client.ts';
import { CliError, EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { clientOf, wantsJson, wholeNumber } from '../options.ts';
import { header, layOut, line, type Column, type Row } from '../table.ts';
import { safe } from '../terminal.ts';

export function keysCommand(io: Io): Command {
  return new Command('keys').description('the keys of a tenant (needs the scope admin)').addCommand(list(io)).addCommand(create(io)).addCommand(revoke(io));
}

const tenantOption = (): Option => new Option('--tenant <tenant>', 'another tenant (keys of tenant default only)');
const tenantParams = (tenant: string | undefined): (readonly [string, string])[] => (tenant === undefined ? [] : [['tenant', tenant]]);

const COLUMNS: readonly Column[] = [
  { title: 'ID', min: 12 },
  { title: 'NAME', min: 8 },
  { title: 'SCOPES', min: 12 },
  { title: 'MADE (UTC)' },
  { title: 'STATE', min: 10 },
];

function list(io: Io): Command {
  const command = new Command('list').description('the keys, without their secrets').addOption(tenantOption());
  return command.action(async ({ tenant }: { tenant?: string }) => {
    const client = await clientOf(command, io);
    const answer = await client.ask('/v1/keys', { params: tenantParams(tenant) });
    if (wantsJson(command)) return io.out(answer);
    const parsed = KeyList.safeParse(parse(answer));
    if (!parsed.success) throw notOurs(client.url, parsed.error);
    const rows = parsed.data.keys.map((key) => toRow(key, Date.now()));
    const widths = layOut(COLUMNS, rows, io.columns);
    await io.outLine(header(COLUMNS, widths, io.paint));
    for (const row of rows) await io.outLine(line(row, widths, io.paint, io.columns !== undefined));
  });
}

const short = (time: string): string => safe(time.slice(0, 16).replace('T', ' '));

function toRow(key: KeyInfo, nowMs: number): Row {
  const expired = key.expires_at !== null && Date.parse(key.expires_at) <= nowMs;
  return [
    { text: safe(key.id), style: 'bold' },
    { text: safe(key.name) },
    { text: key.scopes.join(' ') },
    { text: short(key.created_at) },
    key.revoked_at !== null
      ? { text: `revoked ${short(key.revoked_at)}`, style: 'dim' }
      : key.expires_at === null
        ? { text: 'live', style: 'green' }
        : { text: `${expired ? 'expired' : 'live until'} ${short(key.expires_at)}`, style: expired ? 'dim' : 'green' },
  ];
}

interface CreateOptions {
  readonly name: string;
  readonly scope: readonly string[];
  readonly tenant?: string;
  readonly expires?: string;
  readonly eventsPerSecond?: number;
  readonly requestsPerSecond?: number;
}

function create(io: Io): Command {
  const command = new Command('create')
    .description('make a key; its secret goes to standard output, this once')
    .requiredOption('--name <name>', 'name for people')
    .requiredOption('--scope <scope...>', `what it may do: ${SCOPES.join(', ')}`)
    .addOption(tenantOption())
    .option('--expires <time>', 'when it stops working: RFC 3339, or from now such as 12h, 90d (default: never)')
    .option('--events-per-second <n>', 'most events a second, on average (default: as the service is configured)', wholeNumber)
    .option('--requests-per-second <n>', 'most requests a second, on average (default: as the service is configured)', wholeNumber);
  return command.action(async ({ name, scope, tenant, expires, eventsPerSecond, requestsPerSecond }: CreateOptions) => {
    const body = {
      name,
      scopes: scope.flatMap((item) => item.split(',')),
      ...(tenant === undefined ? {} : { tenant }),
      ...(expires === undefined ? {} : { expires_at: expiry(expires, Date.now()) }),
      ...((eventsPerSecond ?? requestsPerSecond) === undefined ? {} : { rate: { events_per_second: eventsPerSecond, requests_per_second: requestsPerSecond } }),
    };
    const client = await clientOf(command, io);
    const answer = await client.ask('/v1/keys', {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(body)),
    });
    if (wantsJson(command)) return io.out(answer);
    const parsed = KeyCreated.safeParse(parse(answer));
    if (!parsed.success) throw notOurs(client.url, parsed.error);
    const key = parsed.data;
    // Only the secret on standard output: KEY=$(agent-audit keys create …)
    io.say(`Key ${safe(key.id)} (${safe(key.name)}) of tenant ${safe(key.tenant)}: ${key.scopes.join(', ')}; ${key.expires_at === null ? 'never expires' : `expires ${safe(key.expires_at)}`}.`);
    io.say('Its secret is shown this once; nobody can read it again:');
    return io.outLine(safe(key.secret));
  });
}

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** @throws CliError `usage` */
export function expiry(text: string, nowMs: number): string {
  const [, count, unit] = /^\+?(\d{1,6})([mhdw])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined) return formatNanos(BigInt(nowMs + Number(count) * (UNIT_MS[unit] as number)) * 1_000_000n);
  const time = parseTime(text);
  if (!time.ok) throw new CliError(EXIT.usage, `--expires ${time.message}, or from now such as 90d`);
  return text;
}

function revoke(io: Io): Command {
  const command = new Command('revoke').description('stop a key from working, at once and for good').argument('<id>').addOption(tenantOption());
  return command.action(async (id: string, { tenant }: { tenant?: string }) => {
    const client = await clientOf(command, io);
    await client.ask(`/v1/keys/${encodeURIComponent(id)}`, { method: 'DELETE', params: tenantParams(tenant) });
    io.say(`Key ${safe(id)} is revoked.`);
  });
}

function parse(answer: Buffer): unknown {
  try {
    return JSON.parse(answer.toString('utf8'));
  } catch {
    return undefined;
  }
}
