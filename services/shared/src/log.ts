import { pino, type Logger } from 'pino';

export type Log = Logger;

/**
 * JSON lines on standard output. Log what happened and to which id; never an event's content, a key or a
 * request's body.
 */
export function createLog(level: string, name: string): Log {
  return pino({
    name,
    level,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    // The last resort, should a header object ever reach a log call.
    redact: { paths: ['*.authorization', '*.password', 'authorization', 'password'], censor: '[redacted]' },
  });
}
