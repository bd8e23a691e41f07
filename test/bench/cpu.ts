import { readFileSync } from 'node:fs';

/**
 * Starts measuring what processes use of the CPU.
 *
 * @param pids by the name under which each is reported
 * @returns what each has used since, in microseconds per event; zero where /proc does not say
 */
export function cpuMeter<Name extends string>(pids: Readonly<Record<Name, number | undefined>>, events: number): () => Record<Name, number> {
  const names = Object.keys(pids) as Name[];
  const before = names.map((name) => cpuMicros(pids[name]));
  return () => Object.fromEntries(names.map((name, i) => [name, Math.round(((cpuMicros(pids[name]) - (before[i] as number)) * 10) / events) / 10])) as Record<Name, number>;
}

/** Clock ticks are 10 ms on Linux. */
function cpuMicros(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  } catch {
    return 0;
  }
}
