import type { Store } from '../store.ts';
import { putMarks, type EventMark } from './put-marks.ts';
import { recordedUnder, type RecordedRow } from './recorded-under.ts';

/** Ids per lookup; they travel in one parameter, of which ClickHouse takes 128 KiB. */
const LOOKUP_IDS = 500;
/** Of `flags`, see `flags.ts`. */
const CONFLICT = 4;

/**
 * Looks for copies and conflicts under ids that more than one collector may have recorded, and notes them.
 *
 * @returns the ids under which there was more than one row
 */
export async function markCopies(store: Store, tenant: string, eventIds: readonly string[]): Promise<Set<string>> {
  const shared = new Set<string>();
  for (let i = 0; i < eventIds.length; i += LOOKUP_IDS) {
    const rows = await recordedUnder(store, tenant, eventIds.slice(i, i + LOOKUP_IDS));
    const marks: EventMark[] = [];
    for (const [id, group] of Map.groupBy(rows, (row) => row.event_id)) {
      if (group.length < 2) continue;
      shared.add(id);
      marks.push(...judge(group));
    }
    if (marks.length > 0) await putMarks(store, marks);
  }
  return shared;
}

/** @param group rows under one id, the first recorded first */
export function judge(group: readonly RecordedRow[]): EventMark[] {
  const marks: EventMark[] = [];
  const seen = new Set<string>();
  for (const row of group) {
    if (seen.has(row.sha256)) marks.push({ row, mark: 'copy' });
    else if (seen.size > 0 && (row.flags & CONFLICT) === 0) marks.push({ row, mark: 'conflict' });
    seen.add(row.sha256);
  }
  return marks;
}
