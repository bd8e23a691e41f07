import { ACTIONS, EFFECTS, eventLayout, KINDS, OUTCOMES, PRINCIPAL_TYPES, VANTAGES, type EventTape } from '@agent-audit/schemas';
import type { LogRows } from '@agent-audit/tlog';
import {
  ArrayColumn, BlockWriter, BoolColumn, DateTime64Column, encodeBlock, EnumColumn, Float64Column, LowCardinalityColumn, NullableColumn,
  StringColumn, UInt16Column, UInt64Column, UInt8Column, UuidColumn, type Block, type Column,
} from '../native/index.ts';
import { timeFlags } from './flags.ts';

/** What the recorder says of an event on its way into the table `events`. */
export interface EventRow {
  readonly tenant: string;
  /** Counted from the base that `finish` is given for the tenant, or from 0. */
  readonly logIndex: number;
  /** Flags that only the recorder knows; those about time are added here. */
  readonly flags: number;
  /** Microseconds since the Unix epoch; a plain number holds them exactly until the year 2255. */
  readonly receivedAtMicros: number;
}

/** What the rows of one block share. */
export interface BlockOrigin {
  readonly segmentId: string;
  readonly collectorId: string;
}

/** Text of which there are few different values. */
type BoundedText = LowCardinalityColumn | StringColumn;

const newColumns = (bounded: () => BoundedText) => ({
  tenant: bounded(),
  received_at: new DateTime64Column(6),
  collector_id: bounded(),
  log_index: new UInt64Column(),
  segment_id: new UuidColumn(),
  flags: new UInt8Column(),
  event_id: new StringColumn(),
  time: new DateTime64Column(9),
  kind: new EnumColumn(KINDS),
  action: new EnumColumn(ACTIONS),
  agent_id: new StringColumn(),
  agent_name: bounded(),
  agent_version: bounded(),
  agent_instance_id: new StringColumn(),
  parent_agent_id: new StringColumn(),
  model_provider: bounded(),
  model_id: bounded(),
  session_id: new StringColumn(),
  trace_id: new StringColumn(),
  span_id: new StringColumn(),
  parent_span_id: new StringColumn(),
  principal_types: new ArrayColumn(bounded()),
  principal_ids: new ArrayColumn(new StringColumn()),
  delegation_ids: new ArrayColumn(new StringColumn()),
  parent_delegation_ids: new ArrayColumn(new StringColumn()),
  tool_name: bounded(),
  tool_server: bounded(),
  tool_call_id: new StringColumn(),
  tool_definition_hash: bounded(),
  resource_uris: new ArrayColumn(new StringColumn()),
  resource_types: new ArrayColumn(bounded()),
  resource_records: new ArrayColumn(new UInt64Column()),
  resource_bytes: new ArrayColumn(new UInt64Column()),
  classifications: new ArrayColumn(bounded()),
  outcome_status: new EnumColumn(OUTCOMES),
  outcome_code: bounded(),
  outcome_message: new StringColumn(),
  decision_effect: new EnumColumn(['', ...EFFECTS], 0),
  decision_policy_id: bounded(),
  decision_policy_version: bounded(),
  destination_host: new StringColumn(),
  destination_ip: new StringColumn(),
  destination_port: new UInt16Column(),
  protocol: bounded(),
  bytes_out: new UInt64Column(),
  bytes_in: new UInt64Column(),
  duration_ms: new NullableColumn(new Float64Column(), 0),
  emitter: new StringColumn(),
  has_sequence: new BoolColumn(),
  sequence: new UInt64Column(),
  vantage: new EnumColumn(['', ...VANTAGES], 0),
  raw: new StringColumn(),
}) satisfies Record<string, Column>;

type Columns = ReturnType<typeof newColumns>;

const layout = eventLayout();
const linkLayout = layout.elements('/on_behalf_of');
const resourceLayout = layout.elements('/resources');

/** Leaves that are more than copied into a column. */
const LEAF = {
  time: layout.leaf('/time'),
  duration_ms: layout.leaf('/duration_ms'),
  sequence: layout.leaf('/source/sequence'),
  on_behalf_of: layout.leaf('/on_behalf_of'),
  resources: layout.leaf('/resources'),
};
const LINK = {
  size: linkLayout.size, type: linkLayout.leaf('/type'), id: linkLayout.leaf('/id'), delegation_id: linkLayout.leaf('/delegation_id'), parent_delegation_id: linkLayout.leaf('/parent_delegation_id'),
};
const RESOURCE = {
  size: resourceLayout.size, uri: resourceLayout.leaf('/uri'), type: resourceLayout.leaf('/type'), records: resourceLayout.leaf('/records'), bytes: resourceLayout.leaf('/bytes'),
  classifications: resourceLayout.leaf('/classifications'),
};

/**
 * Encodes rows of the table `events` as Native blocks, each row as it comes: nothing of it is kept but its columns.
 * Holds its buffers from block to block, so one instance serves one writer. The columns' names and types are those
 * of `ddl/0001_events.sql`.
 */
export class EventBlockEncoder {
  readonly #columns: Columns;
  readonly #writer = new BlockWriter();
  readonly columnNames: readonly string[];
  #rows = 0;
  /** Rows of one tenant in a row: where they begin. */
  readonly #runs: { readonly tenant: string; readonly from: number }[] = [];

  readonly #strings: readonly { readonly column: BoundedText; readonly leaf: number }[];
  /** Their codes are places in the schema's lists from 1, and 0 where the event says nothing. */
  readonly #enums: readonly { readonly column: { appendCode(code: number): void }; readonly leaf: number }[];
  readonly #numbers: readonly { readonly column: { append(value: number): void }; readonly leaf: number }[];

  /** @param bounded `plain`: all text is a String; to be compared, not to be inserted */
  constructor(bounded: 'dictionary' | 'plain' = 'dictionary') {
    this.#columns = newColumns(bounded === 'plain' ? () => new StringColumn() : () => new LowCardinalityColumn());
    this.columnNames = Object.keys(this.#columns);
    this.#strings = this.#copied({
      event_id: '/event_id',
      agent_id: '/agent/id',
      agent_name: '/agent/name',
      agent_version: '/agent/version',
      agent_instance_id: '/agent/instance_id',
      parent_agent_id: '/agent/parent_agent_id',
      model_provider: '/agent/model/provider',
      model_id: '/agent/model/id',
      session_id: '/session_id',
      trace_id: '/trace_id',
      span_id: '/span_id',
      parent_span_id: '/parent_span_id',
      tool_name: '/tool/name',
      tool_server: '/tool/server',
      tool_call_id: '/tool/call_id',
      tool_definition_hash: '/tool/definition_hash',
      outcome_code: '/outcome/code',
      outcome_message: '/outcome/message',
      decision_policy_id: '/decision/policy_id',
      decision_policy_version: '/decision/policy_version',
      destination_host: '/network/destination_host',
      destination_ip: '/network/destination_ip',
      protocol: '/network/protocol',
      emitter: '/source/emitter',
    });
    this.#enums = this.#copied({
      kind: '/kind',
      action: '/action',
      outcome_status: '/outcome/status',
      decision_effect: '/decision/effect',
      vantage: '/source/vantage',
    });
    this.#numbers = this.#copied({
      destination_port: '/network/destination_port',
      bytes_out: '/network/bytes_out',
      bytes_in: '/network/bytes_in',
      sequence: '/source/sequence',
    });
  }

  #copied<Name extends keyof Columns>(paths: Readonly<Record<Name, string>>): { column: Columns[Name]; leaf: number }[] {
    return (Object.entries(paths) as [Name, string][]).map(([name, path]) => ({ column: this.#columns[name], leaf: layout.leaf(path) }));
  }

  /** Rows appended since the last `discard`. */
  get rows(): number {
    return this.#rows;
  }

  /** @param event place of the event on the tape; the tape may be cleared afterwards */
  append(tape: EventTape, event: number, row: EventRow, origin: BlockOrigin): void {
    const to = this.#columns;
    const frame = tape.frame(event);
    const receivedAtSeconds = Math.floor(row.receivedAtMicros / 1_000_000);
    const seconds = tape.floats[frame + LEAF.time] as number;

    if (this.#runs.at(-1)?.tenant !== row.tenant) this.#runs.push({ tenant: row.tenant, from: this.#rows });
    to.tenant.append(row.tenant);
    to.received_at.append(receivedAtSeconds, row.receivedAtMicros - receivedAtSeconds * 1_000_000);
    to.collector_id.append(origin.collectorId);
    to.log_index.append(row.logIndex);
    to.segment_id.append(origin.segmentId);
    to.flags.append(row.flags | timeFlags(seconds, receivedAtSeconds));
    to.time.append(seconds, tape.ints[2 * (frame + LEAF.time)] as number);

    const source = tape.source(event);
    for (const { column, leaf } of this.#strings) {
      const at = 2 * (frame + leaf);
      column.appendBytes(source, tape.ints[at] as number, tape.ints[at + 1] as number);
    }
    for (const { column, leaf } of this.#enums) column.appendCode(tape.ints[2 * (frame + leaf)] as number);
    for (const { column, leaf } of this.#numbers) column.append(tape.ints[2 * (frame + leaf)] === 0 ? 0 : (tape.floats[frame + leaf] as number));
    to.duration_ms.append(tape.ints[2 * (frame + LEAF.duration_ms)] === 0 ? undefined : (tape.floats[frame + LEAF.duration_ms] as number));
    to.has_sequence.append(tape.ints[2 * (frame + LEAF.sequence)] === 1);
    this.#appendDelegation(tape, frame, source);
    this.#appendResources(tape, frame, source);
    to.raw.appendBytes(tape.raw(event));
    this.#rows++;
  }

  /**
   * The rows so far as one block, where they are: nothing is copied. To be called once before `discard`.
   *
   * @param base by tenant, what is added to the log positions of the rows
   * @returns valid until `discard`
   */
  finish(base: ReadonlyMap<string, number> = new Map()): Block {
    this.#runs.forEach(({ tenant, from }, i) => this.#columns.log_index.raise(from, this.#runs[i + 1]?.from ?? this.#rows, base.get(tenant) ?? 0));
    return encodeBlock(this.#columns, this.#rows, this.#writer);
  }

  /** What the logs need of the rows, after `finish`: valid until `discard`, and memory that threads share. */
  logRows(): LogRows {
    const { event_id: eventIds, raw: raws, received_at: receivedAt, log_index: logIndex } = this.#columns;
    const runs = this.#runs.map(({ tenant, from }, i) => ({ tenant, firstIndex: logIndex.at(from), rows: (this.#runs[i + 1]?.from ?? this.#rows) - from }));
    return { eventIds: eventIds.view(), raws: raws.view(), receivedAt: receivedAt.view(), runs };
  }

  /** A column of the rows so far, as it is in a block, but for its dictionary; valid until `discard`. */
  column(name: string): Pick<Column, 'type' | 'writeValues'> | undefined {
    return Object.hasOwn(this.#columns, name) ? this.#columns[name as keyof Columns] : undefined;
  }

  /** Drops the rows so far; their memory is kept for the next. */
  discard(): void {
    for (const column of Object.values(this.#columns)) column.clear();
    this.#rows = 0;
    this.#runs.length = 0;
  }

  #appendDelegation(tape: EventTape, frame: number, source: Uint8Array): void {
    const { ints } = tape;
    const first = ints[2 * (frame + LEAF.on_behalf_of)] as number;
    const count = ints[2 * (frame + LEAF.on_behalf_of) + 1] as number;
    const to = this.#columns;
    const types = to.principal_types.append(count);
    const ids = to.principal_ids.append(count);
    const delegations = to.delegation_ids.append(count);
    const parents = to.parent_delegation_ids.append(count);
    for (let link = first; link < first + count * LINK.size; link += LINK.size) {
      types.append(PRINCIPAL_TYPES[(ints[2 * (link + LINK.type)] as number) - 1] as string);
      ids.appendBytes(source, ints[2 * (link + LINK.id)] as number, ints[2 * (link + LINK.id) + 1] as number);
      delegations.appendBytes(source, ints[2 * (link + LINK.delegation_id)] as number, ints[2 * (link + LINK.delegation_id) + 1] as number);
      parents.appendBytes(source, ints[2 * (link + LINK.parent_delegation_id)] as number, ints[2 * (link + LINK.parent_delegation_id) + 1] as number);
    }
  }

  #appendResources(tape: EventTape, frame: number, source: Uint8Array): void {
    const { ints, floats, lists } = tape;
    const first = ints[2 * (frame + LEAF.resources)] as number;
    const count = ints[2 * (frame + LEAF.resources) + 1] as number;
    const to = this.#columns;
    const uris = to.resource_uris.append(count);
    const types = to.resource_types.append(count);
    const records = to.resource_records.append(count);
    const bytes = to.resource_bytes.append(count);
    let labels: Set<string> | undefined;
    for (let resource = first; resource < first + count * RESOURCE.size; resource += RESOURCE.size) {
      uris.appendBytes(source, ints[2 * (resource + RESOURCE.uri)] as number, ints[2 * (resource + RESOURCE.uri) + 1] as number);
      types.appendBytes(source, ints[2 * (resource + RESOURCE.type)] as number, ints[2 * (resource + RESOURCE.type) + 1] as number);
      records.append(ints[2 * (resource + RESOURCE.records)] === 0 ? 0 : (floats[resource + RESOURCE.records] as number));
      bytes.append(ints[2 * (resource + RESOURCE.bytes)] === 0 ? 0 : (floats[resource + RESOURCE.bytes] as number));
      const at = ints[2 * (resource + RESOURCE.classifications)] as number;
      for (let label = at; label < at + (ints[2 * (resource + RESOURCE.classifications) + 1] as number); label++) {
        labels ??= new Set();
        labels.add(Buffer.from(source.subarray(lists[2 * label], lists[2 * label + 1])).toString('utf8'));
      }
    }
    const classifications = to.classifications.append(labels?.size ?? 0);
    if (labels !== undefined) for (const label of labels) classifications.append(label);
  }
}
