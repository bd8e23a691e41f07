import { ACTIONS, KINDS, OUTCOMES, parseTime, type AuditEvent } from '@agent-audit/schemas';
import {
  ArrayColumn, BoolColumn, DateTime64Column, encodeBlock, EnumColumn, Float64Column, LowCardinalityColumn, NullableColumn,
  StringColumn, UInt16Column, UInt64Column, UInt8Column, UuidColumn, type Column,
} from '../native/index.ts';
import { timeFlags } from './flags.ts';

/** An event on its way into the table `events`. */
export interface EventRow {
  readonly tenant: string;
  readonly event: AuditEvent;
  /** The event's bytes as received; stored as they are. */
  readonly raw: Uint8Array;
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

/**
 * Encodes rows of the table `events` as Native blocks, each row as it comes: nothing of it is kept but its columns.
 * Holds its buffers from block to block, so one instance serves one writer. The columns' names and types are those
 * of `ddl/0001_events.sql`.
 */
export class EventBlockEncoder {
  readonly #columns = {
    tenant: new LowCardinalityColumn(),
    received_at: new DateTime64Column(6),
    collector_id: new LowCardinalityColumn(),
    log_index: new UInt64Column(),
    segment_id: new UuidColumn(),
    flags: new UInt8Column(),
    event_id: new StringColumn(),
    time: new DateTime64Column(9),
    kind: new EnumColumn(KINDS),
    action: new EnumColumn(ACTIONS),
    agent_id: new StringColumn(),
    agent_name: new LowCardinalityColumn(),
    agent_version: new LowCardinalityColumn(),
    agent_instance_id: new StringColumn(),
    parent_agent_id: new StringColumn(),
    model_provider: new LowCardinalityColumn(),
    model_id: new LowCardinalityColumn(),
    session_id: new StringColumn(),
    trace_id: new StringColumn(),
    span_id: new StringColumn(),
    parent_span_id: new StringColumn(),
    principal_types: new ArrayColumn(new LowCardinalityColumn()),
    principal_ids: new ArrayColumn(new StringColumn()),
    delegation_ids: new ArrayColumn(new StringColumn()),
    parent_delegation_ids: new ArrayColumn(new StringColumn()),
    tool_name: new LowCardinalityColumn(),
    tool_server: new LowCardinalityColumn(),
    tool_call_id: new StringColumn(),
    tool_definition_hash: new LowCardinalityColumn(),
    resource_uris: new ArrayColumn(new StringColumn()),
    resource_types: new ArrayColumn(new LowCardinalityColumn()),
    resource_records: new ArrayColumn(new UInt64Column()),
    resource_bytes: new ArrayColumn(new UInt64Column()),
    classifications: new ArrayColumn(new LowCardinalityColumn()),
    outcome_status: new EnumColumn(OUTCOMES),
    outcome_code: new LowCardinalityColumn(),
    outcome_message: new StringColumn(),
    decision_effect: new EnumColumn(['', 'allow', 'deny', 'modify'], 0),
    decision_policy_id: new LowCardinalityColumn(),
    decision_policy_version: new LowCardinalityColumn(),
    destination_host: new StringColumn(),
    destination_ip: new StringColumn(),
    destination_port: new UInt16Column(),
    protocol: new LowCardinalityColumn(),
    bytes_out: new UInt64Column(),
    bytes_in: new UInt64Column(),
    duration_ms: new NullableColumn(new Float64Column(), 0),
    emitter: new StringColumn(),
    has_sequence: new BoolColumn(),
    sequence: new UInt64Column(),
    vantage: new EnumColumn(['', 'agent', 'gateway', 'resource'], 0),
    raw: new StringColumn(),
  } satisfies Record<string, Column>;

  readonly columnNames: readonly string[] = Object.keys(this.#columns);
  #rows = 0;

  /** Rows appended since the last `finish`. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * @param row a validated event
   * @throws RangeError for an event that `validateEvent` would not have let through
   */
  append(row: EventRow, origin: BlockOrigin): void {
    const to = this.#columns;
    const { event } = row;
    const time = parseTime(event.time);
    if (!time.ok) throw new RangeError(`event ${event.event_id}: time ${time.message}`);
    const receivedAtSeconds = Math.floor(row.receivedAtMicros / 1_000_000);

    to.tenant.append(row.tenant);
    to.received_at.append(receivedAtSeconds, row.receivedAtMicros - receivedAtSeconds * 1_000_000);
    to.collector_id.append(origin.collectorId);
    to.log_index.append(row.logIndex);
    to.segment_id.append(origin.segmentId);
    to.flags.append(row.flags | timeFlags(time.seconds, receivedAtSeconds));
    to.event_id.append(event.event_id);
    to.time.append(time.seconds, time.nanos);
    this.#appendEvent(event);
    to.raw.appendBytes(row.raw);
    this.#rows++;
  }

  /** The rows so far as one block, in a buffer of its own; the encoder is empty afterwards. */
  finish(): Buffer {
    const block = encodeBlock(this.#columns, this.#rows);
    for (const column of Object.values(this.#columns)) column.clear();
    this.#rows = 0;
    return block;
  }

  #appendEvent(event: AuditEvent): void {
    const to = this.#columns;
    to.kind.append(event.kind);
    to.action.append(event.action);

    const { agent } = event;
    to.agent_id.append(agent.id);
    to.agent_name.append(agent.name ?? '');
    to.agent_version.append(agent.version ?? '');
    to.agent_instance_id.append(agent.instance_id ?? '');
    to.parent_agent_id.append(agent.parent_agent_id ?? '');
    to.model_provider.append(agent.model?.provider ?? '');
    to.model_id.append(agent.model?.id ?? '');

    to.session_id.append(event.session_id ?? '');
    to.trace_id.append(event.trace_id ?? '');
    to.span_id.append(event.span_id ?? '');
    to.parent_span_id.append(event.parent_span_id ?? '');

    this.#appendDelegation(event.on_behalf_of);
    this.#appendResources(event.resources);

    const { tool } = event;
    to.tool_name.append(tool?.name ?? '');
    to.tool_server.append(tool?.server ?? '');
    to.tool_call_id.append(tool?.call_id ?? '');
    to.tool_definition_hash.append(tool?.definition_hash ?? '');

    to.outcome_status.append(event.outcome.status);
    to.outcome_code.append(event.outcome.code ?? '');
    to.outcome_message.append(event.outcome.message ?? '');
    to.decision_effect.append(event.decision?.effect ?? '');
    to.decision_policy_id.append(event.decision?.policy_id ?? '');
    to.decision_policy_version.append(event.decision?.policy_version ?? '');

    const { network } = event;
    to.destination_host.append(network?.destination_host ?? '');
    to.destination_ip.append(network?.destination_ip ?? '');
    to.destination_port.append(network?.destination_port ?? 0);
    to.protocol.append(network?.protocol ?? '');
    to.bytes_out.append(network?.bytes_out ?? 0);
    to.bytes_in.append(network?.bytes_in ?? 0);
    to.duration_ms.append(event.duration_ms);

    const { source } = event;
    to.emitter.append(source?.emitter ?? '');
    to.has_sequence.append(source?.sequence !== undefined);
    to.sequence.append(source?.sequence ?? 0);
    to.vantage.append(source?.vantage ?? '');
  }

  #appendDelegation(links: AuditEvent['on_behalf_of'] = []): void {
    const types = this.#columns.principal_types.append(links.length);
    const ids = this.#columns.principal_ids.append(links.length);
    const delegations = this.#columns.delegation_ids.append(links.length);
    const parents = this.#columns.parent_delegation_ids.append(links.length);
    for (const link of links) {
      types.append(link.type);
      ids.append(link.id);
      delegations.append(link.delegation_id ?? '');
      parents.append(link.parent_delegation_id ?? '');
    }
  }

  #appendResources(resources: AuditEvent['resources'] = []): void {
    const uris = this.#columns.resource_uris.append(resources.length);
    const types = this.#columns.resource_types.append(resources.length);
    const records = this.#columns.resource_records.append(resources.length);
    const bytes = this.#columns.resource_bytes.append(resources.length);
    let labels: Set<string> | undefined;
    for (const resource of resources) {
      uris.append(resource.uri);
      types.append(resource.type);
      records.append(resource.records ?? 0);
      bytes.append(resource.bytes ?? 0);
      if (resource.classifications === undefined) continue;
      labels ??= new Set();
      for (const label of resource.classifications) labels.add(label);
    }
    const classifications = this.#columns.classifications.append(labels?.size ?? 0);
    if (labels !== undefined) for (const label of labels) classifications.append(label);
  }
}
