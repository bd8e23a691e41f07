/** ClickHouse's Date begins with the epoch and ends there. */
const [FIRST_DAY, LAST_DAY] = ['1970-01-01', '2149-06-06'];
const LAST_DAY_US = BigInt(Date.parse(LAST_DAY)) * 1000n;

/** The UTC day of a moment in microseconds, as `YYYY-MM-DD`; a moment beyond what a Date can hold gets the nearest that it can. */
export function dayOf(micros: bigint): string {
  if (micros < 0n) return FIRST_DAY;
  return micros >= LAST_DAY_US ? LAST_DAY : new Date(Number(micros / 1000n)).toISOString().slice(0, 10);
}
