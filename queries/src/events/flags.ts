/** What was noticed about an event when it was recorded; bits of the column `flags`. */
export const FLAG_BITS = {
  /** Received more than `LATE_AFTER_SECONDS` after it happened. */
  late: 1,
  /** Happened, by its own word, more than `FUTURE_AFTER_SECONDS` after it was received: a wrong clock. */
  future: 2,
  /** Another event with the same id and other bytes was recorded before. */
  conflict: 4,
} as const;

export type Flag = keyof typeof FLAG_BITS;

export const LATE_AFTER_SECONDS = 300;
export const FUTURE_AFTER_SECONDS = 60;

/** @param time @param receivedAt seconds since the Unix epoch */
export function timeFlags(time: number, receivedAt: number): number {
  if (receivedAt - time > LATE_AFTER_SECONDS) return FLAG_BITS.late;
  if (time - receivedAt > FUTURE_AFTER_SECONDS) return FLAG_BITS.future;
  return 0;
}

export function flagNames(bits: number): Flag[] {
  return (Object.keys(FLAG_BITS) as Flag[]).filter((flag) => (bits & FLAG_BITS[flag]) !== 0);
}
