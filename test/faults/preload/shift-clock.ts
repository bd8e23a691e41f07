/*
 * Loaded into the service before it begins (`--import`): its clock is FAULTS_CLOCK_OFFSET_MS ahead of the machine's, or
 * behind where that is negative, and jumps when its parent says so. Time since the start and timers go on as they are,
 * as they do when a machine's clock is set.
 */
import crypto, { randomBytes } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

let offsetMs = Number(process.env['FAULTS_CLOCK_OFFSET_MS'] ?? 0);

const now = Date.now.bind(Date);

const SystemDate = Date;
globalThis.Date = new Proxy(SystemDate, {
  // Without arguments, a date is the moment.
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now() + offsetMs] : args, newTarget) as Date,
  apply: () => new SystemDate(now() + offsetMs).toString(),
});
Date.now = () => now() + offsetMs;

/** RFC 9562 section 5.7: the first 48 bits are the time, and Node takes it from the machine itself. */
crypto.randomUUIDv7 = () => {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = 0x70 | ((bytes[6] as number) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') as ReturnType<typeof crypto.randomUUIDv7>;
};
syncBuiltinESMExports();

process.on('message', (message: { clockOffsetMs?: number }) => {
  if (typeof message.clockOffsetMs === 'number') offsetMs = message.clockOffsetMs;
});
// To listen is no reason to live.
process.channel?.unref();
