import { expect, test } from 'vitest';
import { CONTROLS } from './controls.ts';
import { KINDS } from './kinds.ts';
import { runFaults } from './run.ts';

/* The promise broken on purpose: an oracle that never says no proves nothing. */
test.for(CONTROLS)('$name is noticed', async (control) => {
  const kinds = KINDS.filter(({ kind }) => control.kinds.includes(kind));
  const { wrong } = await runFaults({ cycles: 4, seed: 41, kinds, control, drainMs: 3_000 });
  expect(wrong[0]?.verdict[control.caughtAs].length).toBeGreaterThan(0);
});
