/** ClickHouse's Date ends there; it begins with the epoch. */
const LAST_DAY = '2149-06-06';
const DAY_US = 86_400_000_000n;

/** The UTC day of a moment in microseconds, as `YYYY-MM-DD`; moments that a Date cannot hold get the nearest that it can. */
export function dayOf(micros: bigint): string {
  if (micros < 0n) return '1970-01-01';
  const day = new Date(Number(micros / 1000n)).toISOString().slice(0, 10);
  return day > LAST_DAY ? LAST_DAY : day;
}

/** Begin of the UTC day, in microseconds. */
export function startOfDay(micros: bigint): bigint {
  return micros - (micros % DAY_US);
}
