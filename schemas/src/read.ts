/** From bytes to a checked event, in the one right order: size, scan, parse, validate. */
import { LIMITS } from './limits.ts';
import type { FieldError } from './errors.ts';
import type { AuditEvent } from './event.ts';
import { scanEvent, scanFieldError, type ScanError } from './scan.ts';
import { validateEvent } from './validate.ts';

export interface ReadLimits {
  readonly eventBytes: number;
  readonly nesting: number;
}

export type ReadResult =
  | { readonly ok: true; readonly event: AuditEvent }
  | {
      readonly ok: false;
      readonly errors: readonly FieldError[];
      /** Present when the bytes themselves were at fault. */
      readonly scan?: ScanError;
      /** The parsed value, where it could be parsed: for reading an `event_id` to name in the rejection. */
      readonly value?: unknown;
    };

/** The rejection of an event of `size` bytes where `limit` are allowed. */
export function tooBig(size: number, limit: number): FieldError {
  return {
    path: '',
    code: 'too_big',
    message: `has ${size} bytes, at most ${limit} are allowed; keep large payloads elsewhere and record where they are`,
  };
}

/** Reads the one event in [start, end) of `bytes`. Never throws, whatever the bytes. */
export function readEvent(bytes: Uint8Array, start = 0, end = bytes.length, limits: ReadLimits = LIMITS): ReadResult {
  if (end - start > limits.eventBytes) return { ok: false, errors: [tooBig(end - start, limits.eventBytes)] };
  const scan = scanEvent(bytes, start, end, limits.nesting);
  if (!scan.ok) return { ok: false, errors: [scanFieldError(scan)], scan };
  const text = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value: unknown = JSON.parse(text.toString(scan.ascii ? 'latin1' : 'utf8', start, end));
  const result = validateEvent(value, { mayHoldLoneSurrogates: scan.surrogates });
  return result.ok ? result : { ok: false, errors: result.errors, value };
}
