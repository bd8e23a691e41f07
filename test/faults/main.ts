import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { CONTROLS, type Control } from './controls.ts';
import type { Fault } from './fault.ts';
import { runKafkaStorm } from './kafka-storm.ts';
import { KINDS, KINDS_BY_NAME } from './kinds.ts';
import { tableOf, type Report } from './report.ts';
import { runFaults } from './run.ts';
import { closeScenes } from './scene.ts';

const USAGE = `npm run test:faults -- [--cycles N] [--seed S] [--only kind,…] [--control name] [--json file]
npm run test:faults -- --rebalances N [--restarts N] [--seed S] [--json file]    with a Kafka broker

  kinds     ${KINDS.map(({ kind }) => kind).join(', ')}
  by name   ${KINDS_BY_NAME.map(({ kind }) => kind).join(', ')}
  controls  ${CONTROLS.map(({ name }) => name).join(', ')}

Exits 1 when anything is wrong; with a control, when the oracle does not notice it. Folders in which something was wrong are kept.
`;

const CONTROL_DRAIN_MS = 5_000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cycles: { type: 'string', default: '50' },
      seed: { type: 'string' },
      only: { type: 'string' },
      control: { type: 'string' },
      json: { type: 'string' },
      rebalances: { type: 'string' },
      restarts: { type: 'string', default: '0' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : wholeNumber(values.seed, '--seed');
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  if (values.rebalances !== undefined) {
    const report = await runKafkaStorm({ rebalances: wholeNumber(values.rebalances, '--rebalances'), restarts: wholeNumber(values.restarts, '--restarts'), seed, say });
    say(JSON.stringify(report, undefined, 2));
    if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
    return Object.values(report.verdict).some((named) => named.length > 0) ? 1 : 0;
  }
  const control = values.control === undefined ? undefined : named(CONTROLS, values.control, ({ name }) => name);
  const only = values.only?.split(',') ?? control?.kinds;
  const kinds = only?.map((kind) => named([...KINDS, ...KINDS_BY_NAME], kind, (fault) => fault.kind)) ?? KINDS;
  const cycles = wholeNumber(values.cycles, '--cycles');
  say(`${cycles} cycles of ${kinds.map(({ kind }: Fault) => kind).join(', ')}; seed ${seed}${control === undefined ? '' : `; control ${control.name}`}`);
  const report = await runFaults({
    cycles, seed, kinds, control, say,
    // What a control loses never comes; there is nothing to wait for, nor to look into.
    ...(control === undefined ? { keepWrong: true } : { drainMs: CONTROL_DRAIN_MS }),
  });
  say(`\n${tableOf(report)}`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
  return control === undefined ? conclude(report) : concludeControl(report, control, say);
}

function conclude(report: Report): number {
  return report.wrong.length > 0 ? 1 : 0;
}

function concludeControl(report: Report, { name, caughtAs }: Control, say: (line: string) => void): number {
  const caught = report.wrong.some(({ verdict }) => verdict[caughtAs].length > 0);
  say(caught ? `\nThe control ${name} was noticed (${caughtAs}), as it must be.` : `\nThe control ${name} was NOT noticed: the oracle is blind to it.`);
  return caught ? 0 : 1;
}

function named<T>(all: readonly T[], name: string, nameOf: (one: T) => string): T {
  const found = all.find((one) => nameOf(one) === name);
  if (found === undefined) throw new Error(`there is no ${name}; there are ${all.map(nameOf).join(', ')}`);
  return found;
}

function wholeNumber(text: string, option: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${option} must be a whole number`);
  return Number(text);
}

/** Nothing of a run outlives it. */
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void closeScenes().finally(() => process.exit(130));
  });
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n\n${USAGE}`);
    process.exit(2);
  },
);
