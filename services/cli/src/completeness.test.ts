import type { Completeness, EmitterCompleteness } from '@agent-audit/schemas';
import { expect, it } from 'vitest';
import { completenessLine } from './completeness.ts';

const base: Completeness = { status: 'unknown', emitters: [], unnumbered: 0, quarantined: 0, late: 0, conflicts: 0, downtime: [], as_of: '2026-11-22T15:00:07.123Z' };
const whole: EmitterCompleteness = {
  emitter: 'gw-1', instance_id: null, status: 'complete', first: 1, last: 9, seen: [[1, 9]], missing: [], duplicated: [], restarted: false, state: 'active', heartbeat: null,
};

it.each<[string, Partial<Completeness>]>([
  ['Complete: no sequence number is missing from gw-1 (as of 2026-11-22 15:00:07 UTC)', { status: 'complete', emitters: [whole] }],
  ['Complete: no sequence number is missing from any of 2 emitters; 3 received late (as of 2026-11-22 15:00:07 UTC)', { status: 'complete', emitters: [whole, whole], late: 3 }],
  ['Gaps: gw-1 missing 5–7, 9 (4 events) (as of 2026-11-22 15:00:07 UTC)', { status: 'gaps', emitters: [whole, { ...whole, missing: [[5, 7], [9, 9]] }] }],
  ['Gaps: ␛c missing 5 (1 event); 1 conflict over an event_id (as of 2026-11-22 15:00:07 UTC)', { status: 'gaps', conflicts: 1, emitters: [{ ...whole, emitter: '\u001bc', missing: [[5, 5]] }] }],
  ['Unknown: no event of this window carries a sequence number, so nothing proves that none is missing (as of 2026-11-22 15:00:07 UTC)', {}],
  ['Unknown: nothing is known to be missing, but some events carry no sequence number (as of 2026-11-22 15:00:07 UTC)', { emitters: [whole] }],
  ['Gaps: gw-1 (run-2) missing 5 (1 event) (as of 2026-11-22 15:00:07 UTC)', { status: 'gaps', emitters: [whole, { ...whole, instance_id: 'run-2', missing: [[5, 5]] }] }],
  ['Unknown: several events carry the same numbers: gw-1 2–4 (3 numbers) (as of 2026-11-22 15:00:07 UTC)', { emitters: [{ ...whole, duplicated: [[2, 4]] }] }],
  ['Unknown: overdue since 2026-11-22 14:00:30 is a heartbeat of gw-1; nothing was taken in during 1 interval (see agent-audit completeness) (as of 2026-11-22 15:00:07 UTC)', {
    emitters: [{ ...whole, state: 'silent', heartbeat: { last_at: '2026-11-22T14:00:00Z', due_at: '2026-11-22T14:00:30Z', sequence: 9 } }], downtime: [['2026-11-22T14:00:00Z', '2026-11-22T14:30:00Z']],
  }],
  ['Unknown: events that were refused may belong to this window; 2 refused (see agent-audit quarantine) (as of 2026-11-22 15:00:07 UTC)', { quarantined: 2 }],
])('%s', (text, known) => {
  expect(completenessLine({ ...base, ...known })).toBe(text);
});

it('does not grow with the number of gaps', () => {
  const missing = Array.from({ length: 500 }, (_, i): [number, number] => [i * 2, i * 2]);
  const emitters = Array.from({ length: 50 }, () => ({ ...whole, missing }));
  const line = completenessLine({ ...base, status: 'gaps', emitters });
  expect(line).toContain('495 more ranges');
  expect(line).toContain('45 more emitters');
  expect(line.length).toBeLessThan(500);
});
