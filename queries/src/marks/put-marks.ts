import { randomUUID } from 'node:crypto';
import { BoolColumn, DateTime64Column, encodeBlock, EnumColumn, LowCardinalityColumn, StringColumn, UInt64Column, UInt8Column, type Column } from '../native/index.ts';
import type { Store } from '../store.ts';
import type { RecordedRow } from './recorded-under.ts';

const MARKS = ['copy', 'conflict'] as const;

export interface EventMark {
  readonly row: RecordedRow;
  readonly mark: (typeof MARKS)[number];
}

const newColumns = () => ({
  tenant: new LowCardinalityColumn(),
  agent_id: new StringColumn(),
  time: new DateTime64Column(9),
  event_id: new StringColumn(),
  collector_id: new LowCardinalityColumn(),
  log_index: new UInt64Column(),
  mark: new EnumColumn(MARKS),
  flags: new UInt8Column(),
  emitter: new StringColumn(),
  instance: new StringColumn(),
  has_sequence: new BoolColumn(),
  sequence: new UInt64Column(),
}) satisfies Record<string, Column>;

/** Notes what was noticed about rows; the same may be noted again. Resolves once it is on disk. */
export async function putMarks(store: Store, marks: readonly EventMark[]): Promise<void> {
  const to = newColumns();
  for (const { row, mark } of marks) {
    to.tenant.append(row.tenant);
    to.agent_id.append(row.agent_id);
    to.time.appendTicks(row.time_ns);
    to.event_id.append(row.event_id);
    to.collector_id.append(row.collector_id);
    to.log_index.append(row.log_index);
    to.mark.append(mark);
    to.flags.append(row.flags);
    to.emitter.append(row.emitter);
    to.instance.append(row.instance);
    to.has_sequence.append(row.has_sequence);
    to.sequence.append(row.sequence);
  }
  await store.insertNative('event_marks', Object.keys(to), encodeBlock(to, marks.length), randomUUID());
}
