import { setTimeout as sleep } from 'node:timers/promises';
import { isWrong, NOTHING_WRONG, together, type Verdict } from '../support/oracle.ts';
import { Random } from '../support/random.ts';
import { inTime } from '../support/until.ts';
import type { Control } from './controls.ts';
import type { Fault, House } from './fault.ts';
import { examplesOf, type Report, type WrongRound } from './report.ts';
import { Scene } from './scene.ts';

export interface RunOptions {
  readonly cycles: number;
  /** The same seed breaks the same things in the same order; the moments hang on the machine. */
  readonly seed: number;
  readonly kinds: readonly Fault[];
  readonly control?: Control | undefined;
  /** Told how it goes, a line at a time. */
  readonly say?: (line: string) => void;
  /** Keeps the folders in which something was wrong. */
  readonly keepWrong?: boolean;
  /** How long what was acknowledged may take to be shown. */
  readonly drainMs?: number;
}

/** Cycles on one folder: the record grows, and so does the last check of it. */
const ROUND_CYCLES = 20;
/** Cycles between two checks. */
const CHECK_EVERY = 5;
/** Recorded before anything breaks, so that there is something to lose. */
const BEFORE_EVENTS = 120;
/** Recorded after it, before the next: whatever broke, recording goes on by itself. */
const AFTER_EVENTS = 20;
/** Then, at any moment within this. */
const MOMENT_MS = 200;
const FAULT_MS = 180_000;

/** Breaks things, many times over, and checks what is left. */
export async function runFaults(options: RunOptions): Promise<Report> {
  const begin = performance.now();
  const random = new Random(options.seed);
  const totals = { requests: 0, sent: 0, acknowledged: 0, refused: 0, failedStarts: 0, refusals: new Map<string, number>(), cycles: new Map<string, number>(), wrong: [] as WrongRound[] };
  const rounds = plan(options, random);
  for (let next = rounds.shift(); next !== undefined; next = rounds.shift()) {
    const { house, faults } = next;
    const round = await runRound(house, faults, options, random);
    // What a bad end kept from happening happens on another folder.
    const left = faults.slice(round.done.length + (round.broken ? 1 : 0));
    if (left.length > 0) rounds.unshift({ house, faults: left });
    const { load, done, failedStarts, wrong } = round;
    totals.failedStarts += failedStarts;
    for (const kind of done) totals.cycles.set(kind, (totals.cycles.get(kind) ?? 0) + 1);
    if (load !== undefined) {
      totals.requests += load.requests;
      totals.sent += load.sent;
      totals.acknowledged += load.acknowledged;
      totals.refused += load.refused;
      for (const [status, n] of load.refusals) totals.refusals.set(String(status), (totals.refusals.get(String(status)) ?? 0) + n);
    }
    if (wrong !== undefined) {
      totals.wrong.push(wrong);
      options.say?.(examplesOf(wrong));
    }
    const cycles = totals.cycles.values().reduce((sum, n) => sum + n, 0);
    options.say?.(`${cycles}/${options.cycles} cycles, ${totals.acknowledged} events acknowledged, ${totals.wrong.length} rounds wrong, ${Math.round((performance.now() - begin) / 1000)} s`);
    // One is enough to know that the control is noticed.
    if (options.control !== undefined && totals.wrong.length > 0) break;
  }
  return {
    ...totals,
    seed: options.seed,
    control: options.control?.name ?? null,
    seconds: (performance.now() - begin) / 1000,
    cycles: Object.fromEntries(totals.cycles),
    refusals: Object.fromEntries(totals.refusals),
  };
}

interface PlannedRound {
  readonly house: House;
  readonly faults: readonly Fault[];
}

/** Every kind equally often, in random order, and in all of its houses in turn. */
function plan({ cycles, kinds }: RunOptions, random: Random): PlannedRound[] {
  const byHouse = new Map<House, Fault[]>();
  for (let planned = 0, turn = random.int(2); planned < cycles; turn++) {
    for (const fault of random.shuffled(kinds).slice(0, cycles - planned)) {
      const house = fault.houses[turn % fault.houses.length] as House;
      byHouse.set(house, [...(byHouse.get(house) ?? []), fault]);
      planned++;
    }
  }
  const rounds = [...byHouse].flatMap(([house, faults]) =>
    Array.from({ length: Math.ceil(faults.length / ROUND_CYCLES) }, (_, i) => ({ house, faults: faults.slice(i * ROUND_CYCLES, (i + 1) * ROUND_CYCLES) })));
  return random.shuffled(rounds);
}

interface Round {
  readonly load: Scene['load'] | undefined;
  readonly failedStarts: number;
  /** Kinds of the cycles that were gone through. */
  readonly done: readonly string[];
  /** The cycle behind those did not come to its end. */
  readonly broken: boolean;
  readonly wrong: WrongRound | undefined;
}

/** Ends at the first thing that is wrong: what comes after it on the same folder would tell the same again. */
async function runRound(house: House, faults: readonly Fault[], options: RunOptions, random: Random): Promise<Round> {
  const { control, drainMs, keepWrong = false } = options;
  const preload = new Set([...(control === undefined ? [] : [control.preload]), ...faults.flatMap((fault) => fault.preload ?? [])]);
  const done: string[] = [];
  let verdict: Verdict = NOTHING_WRONG;
  let failed: string[] = [];
  let unproven: string[] = [];
  let scene: Scene | undefined;
  const others = (): string[] => [...(scene?.load.odd ?? []), ...(scene?.leaks() ?? []), ...unproven, ...failed];
  const whatIsWrong = (): boolean => isWrong(verdict) || others().length > 0;
  try {
    scene = await Scene.open({ house, random, preload: [...preload], prepare: [...new Set(faults)], ...(drainMs === undefined ? {} : { drainMs }) });
    for (const [i, fault] of faults.entries()) {
      await cycle(scene, fault, random);
      done.push(fault.kind);
      if ((i + 1) % CHECK_EVERY === 0 && i + 1 < faults.length) verdict = together([verdict, await scene.check()]);
      if (whatIsWrong()) break;
    }
    if (!whatIsWrong()) verdict = await scene.checkEverything();
    if (!whatIsWrong()) unproven = await scene.checkProof();
  } catch (error) {
    failed = [`${faults[done.length]?.kind ?? 'the check'}: ${error instanceof Error ? error.stack : String(error)}`];
  }
  const wrong = whatIsWrong();
  const keep = wrong && keepWrong;
  await scene?.close(keep);
  return {
    load: scene?.load,
    failedStarts: scene?.failedStarts ?? 0,
    done,
    broken: failed.length > 0,
    wrong: wrong ? { house, kinds: done, verdict, others: others(), folder: keep ? (scene?.folder.dataDir ?? null) : null } : undefined,
  };
}

async function cycle(scene: Scene, fault: Fault, random: Random): Promise<void> {
  await scene.load.progress(BEFORE_EVENTS);
  // It is the moment that is random, not a guess at how long something takes.
  await sleep(random.int(MOMENT_MS));
  await inTime(fault.inject(scene), `${fault.kind} to be over`, FAULT_MS);
  await scene.load.progress(AFTER_EVENTS);
}
