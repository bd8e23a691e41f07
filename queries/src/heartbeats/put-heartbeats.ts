import { randomUUID } from 'node:crypto';
import { instanceOf } from '../completeness/instance.ts';
import { BoolColumn, DateTime64Column, encodeBlock, LowCardinalityColumn, StringColumn, UInt32Column, UInt64Column, type Column } from '../native/index.ts';
import { OnceThere } from '../once-there.ts';
import type { Store } from '../store.ts';

export interface StoredHeartbeat {
  readonly tenant: string;
  readonly emitter: string;
  readonly vantage: string | undefined;
  readonly instanceId: string | undefined;
  readonly agentId: string | undefined;
  /** Microseconds since the Unix epoch, not before it. */
  readonly atUs: bigint;
  /** When the next will have come; undefined where none is promised. */
  readonly dueAtUs: bigint | undefined;
  /** The last sequence number that was used; undefined before the first, or without numbers. */
  readonly sequence: number | undefined;
}

/** What is kept is told apart by this much of time. */
export const SLOT_US = 600_000_000n;
/** In place of what was not said; see `ddl/0007_heartbeats.sql`. */
export const NEVER_DUE_US = 9_223_372_036_000_000n;
export const NO_NUMBER = 2 ** 53;

/** Whether any tenant has any. */
export const anyHeartbeats = new OnceThere('SELECT count() AS n FROM heartbeats');

const newColumns = () => ({
  tenant: new LowCardinalityColumn(),
  slot: new UInt32Column(),
  emitter: new StringColumn(),
  instance: new StringColumn(),
  agent_id: new StringColumn(),
  promised: new BoolColumn(),
  first_at: new DateTime64Column(6),
  last_at: new DateTime64Column(6),
  due_at: new DateTime64Column(6),
  lowest: new UInt64Column(),
  end: new UInt64Column(),
}) satisfies Record<string, Column>;

/** Keeps what emitters said; the same may be said again. Resolves once it is on disk. @throws StoreError */
export async function putHeartbeats(store: Store, heartbeats: readonly StoredHeartbeat[]): Promise<void> {
  anyHeartbeats.note(store);
  const to = newColumns();
  for (const { tenant, emitter, vantage, instanceId, agentId, atUs, dueAtUs, sequence } of heartbeats) {
    to.tenant.append(tenant);
    to.slot.append(Number(atUs / SLOT_US));
    to.emitter.append(emitter);
    to.instance.append(instanceOf(vantage, instanceId));
    to.agent_id.append(agentId ?? '');
    to.promised.append(dueAtUs !== undefined);
    to.first_at.appendTicks(atUs);
    to.last_at.appendTicks(atUs);
    to.due_at.appendTicks(dueAtUs ?? NEVER_DUE_US);
    to.lowest.append(sequence ?? NO_NUMBER);
    to.end.append(sequence === undefined ? 0 : sequence + 1);
  }
  await store.insertNative('heartbeats', Object.keys(to), encodeBlock(to, heartbeats.length), randomUUID());
}
