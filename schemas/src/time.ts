/**
 * RFC 3339 timestamps to and from nanoseconds since the Unix epoch, without losing a digit.
 *
 * `parseTime` is on the ingest path (about a million a second), so it reads character codes by hand and
 * keeps seconds and nanoseconds as two plain numbers; `Date` has only milliseconds and regular
 * expressions allocate. Range: what ClickHouse's DateTime64(9) can hold.
 */

/** Seconds since the Unix epoch (may be negative) and nanoseconds within that second (0 to 999,999,999). */
export interface Instant {
  readonly seconds: number;
  readonly nanos: number;
}

export type TimeErrorCode = 'invalid_time' | 'time_out_of_range';

export type TimeResult =
  | { readonly ok: true; readonly seconds: number; readonly nanos: number }
  | { readonly ok: false; readonly code: TimeErrorCode; readonly message: string };

/** 1900-01-01T00:00:00Z, the first moment that can be recorded, in seconds since the epoch. */
export const MIN_SECONDS = -2_208_988_800;
/** 2262-04-11T23:47:16.854775807Z, the last one: 2^63 - 1 nanoseconds. */
export const MAX_SECONDS = 9_223_372_036;
const MAX_NANOS = 854_775_807;

const NS_PER_SECOND = 1_000_000_000n;
/** Powers of ten that turn n fraction digits into nanoseconds. */
const SCALE = [0, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1] as const;

const invalid = (message: string): TimeResult => ({ ok: false, code: 'invalid_time', message });

const SHAPE = invalid(
  'must be an RFC 3339 timestamp with an offset, such as 2026-11-22T14:33:07.123456789Z or 2026-11-22T15:33:07+01:00',
);
const NO_OFFSET = invalid('has no UTC offset; end it with Z or with an offset such as +02:00');
const BAD_DATE = invalid('names a day that does not exist in the calendar');
const BAD_CLOCK = invalid('has an hour above 23, or a minute or second above 59');
const BAD_OFFSET = invalid('has an offset that is not between -23:59 and +23:59');
const LEAP_SECOND = invalid(
  'is a leap second (:60), which has no place in seconds since the epoch; send :59.999999999 instead',
);
const BAD_FRACTION = invalid('needs 1 to 9 fraction digits after the point: nanoseconds are the finest unit kept');
const OUT_OF_RANGE: TimeResult = {
  ok: false,
  code: 'time_out_of_range',
  message: 'is outside 1900-01-01T00:00:00Z to 2262-04-11T23:47:16.854775807Z, the range that can be stored',
};

/** Two decimal digits at `i`, or a negative number when either is no digit. */
function two(text: string, i: number): number {
  const a = text.charCodeAt(i) - 48;
  const b = text.charCodeAt(i + 1) - 48;
  return a >= 0 && a <= 9 && b >= 0 && b <= 9 ? a * 10 + b : -1;
}

/** Days of 1970-01-01 to the given civil date (proleptic Gregorian). */
function daysOf(year: number, month: number, day: number): number {
  // Years that begin in March put the leap day last, so that month lengths follow one formula.
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468;
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/**
 * Reads an RFC 3339 timestamp (section 5.6 `date-time`): the offset is mandatory, `t` and `z` may be lower
 * case, 1 to 9 fraction digits, real calendar days only. `-00:00` (offset unknown) counts as UTC. A leap
 * second is refused. Nothing is rounded: more than nine digits is an error.
 */
export function parseTime(text: string): TimeResult {
  const length = text.length;
  if (length < 19 || length > 35) return SHAPE;
  const century = two(text, 0);
  const yy = two(text, 2);
  const month = two(text, 5);
  const day = two(text, 8);
  const hour = two(text, 11);
  const minute = two(text, 14);
  const second = two(text, 17);
  if (
    century < 0 || yy < 0 || month < 0 || day < 0 || hour < 0 || minute < 0 || second < 0 ||
    text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45 || (text.charCodeAt(10) | 32) !== 116 ||
    text.charCodeAt(13) !== 58 || text.charCodeAt(16) !== 58
  ) {
    return SHAPE;
  }
  const year = century * 100 + yy;
  if (month < 1 || month > 12 || day < 1 || (day > 28 && day > daysInMonth(year, month))) return BAD_DATE;
  if (hour > 23 || minute > 59 || second > 59) return second === 60 && minute <= 59 && hour <= 23 ? LEAP_SECOND : BAD_CLOCK;

  let i = 19;
  let nanos = 0;
  if (text.charCodeAt(i) === 46) {
    i++;
    let digit = text.charCodeAt(i) - 48;
    while (digit >= 0 && digit <= 9) {
      if (i > 28) return BAD_FRACTION;
      nanos = nanos * 10 + digit;
      i++;
      digit = text.charCodeAt(i) - 48;
    }
    if (i === 20) return BAD_FRACTION;
    nanos *= SCALE[i - 20] as number;
  }

  let offset = 0;
  const mark = text.charCodeAt(i);
  if (mark === 90 || mark === 122) {
    if (length !== i + 1) return SHAPE;
  } else if (mark === 43 || mark === 45) {
    const hours = two(text, i + 1);
    const minutes = two(text, i + 4);
    if (length !== i + 6 || text.charCodeAt(i + 3) !== 58 || hours < 0 || minutes < 0) return SHAPE;
    if (hours > 23 || minutes > 59) return BAD_OFFSET;
    offset = (hours * 60 + minutes) * (mark === 43 ? 60 : -60);
  } else {
    return i === length ? NO_OFFSET : SHAPE;
  }

  const seconds = daysOf(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
  if (seconds < MIN_SECONDS || seconds > MAX_SECONDS || (seconds === MAX_SECONDS && nanos > MAX_NANOS)) return OUT_OF_RANGE;
  return { ok: true, seconds, nanos };
}

/** Nanoseconds since the Unix epoch. */
export function toNanos(instant: Instant): bigint {
  return BigInt(instant.seconds) * NS_PER_SECOND + BigInt(instant.nanos);
}

/** The instant `ns` nanoseconds after the Unix epoch. */
export function fromNanos(ns: bigint): Instant {
  let nanos = ns % NS_PER_SECOND;
  if (nanos < 0n) nanos += NS_PER_SECOND;
  return { seconds: Number((ns - nanos) / NS_PER_SECOND), nanos: Number(nanos) };
}

/** True for every nanosecond count that can be recorded. */
export function isStorable(ns: bigint): boolean {
  return ns >= BigInt(MIN_SECONDS) * NS_PER_SECOND && ns <= BigInt(MAX_SECONDS) * NS_PER_SECOND + BigInt(MAX_NANOS);
}

const pad = (n: number, width: number): string => String(n).padStart(width, '0');

/** RFC 3339 in UTC with `Z` and the shortest exact fraction of 0, 3, 6 or 9 digits. */
export function formatTime({ seconds, nanos }: Instant): string {
  const days = Math.floor(seconds / 86_400);
  const clock = seconds - days * 86_400;
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const fraction =
    nanos === 0 ? ''
    : nanos % 1_000_000 === 0 ? `.${pad(nanos / 1_000_000, 3)}`
    : nanos % 1000 === 0 ? `.${pad(nanos / 1000, 6)}`
    : `.${pad(nanos, 9)}`;
  return (
    `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T` +
    `${pad(Math.floor(clock / 3600), 2)}:${pad(Math.floor((clock % 3600) / 60), 2)}:${pad(clock % 60, 2)}${fraction}Z`
  );
}

/** `formatTime` for a nanosecond count. */
export function formatNanos(ns: bigint): string {
  return formatTime(fromNanos(ns));
}

export type MomentResult =
  | { readonly ok: true; readonly ns: bigint }
  | { readonly ok: false; readonly code: TimeErrorCode; readonly message: string };

const UNIT_SECONDS: Readonly<Record<string, bigint>> = { s: 1n, m: 60n, h: 3600n, d: 86_400n, w: 604_800n };

/**
 * One end of a query window: an RFC 3339 timestamp, `now`, or a distance back from `nowNs` such as `-30s`,
 * `-15m`, `-24h`, `-7d`, `-2w` (a day is 24 hours, a week 7 days). A `+` offset that arrived as a space,
 * because it was not percent-encoded in the query string, is read as `+`.
 */
export function parseMoment(text: string, nowNs: bigint): MomentResult {
  if (text === 'now') return { ok: true, ns: nowNs };
  const relative = /^-(\d{1,12})([smhdw])$/.exec(text);
  if (relative) {
    const ns = nowNs - BigInt(relative[1] as string) * (UNIT_SECONDS[relative[2] as string] as bigint) * NS_PER_SECOND;
    return isStorable(ns) ? { ok: true, ns } : (OUT_OF_RANGE as MomentResult & { ok: false });
  }
  const parsed = parseTime(text.replace(/ (?=\d\d:\d\d$)/, '+'));
  if (parsed.ok) return { ok: true, ns: toNanos(parsed) };
  if (parsed.code === 'time_out_of_range') return parsed;
  const looksAbsolute = /^\d{4}-/.test(text);
  return looksAbsolute ? parsed : {
    ok: false,
    code: 'invalid_time',
    message: 'must be an RFC 3339 timestamp, `now`, or a distance back from now such as -30s, -15m, -24h, -7d, -2w',
  };
}
