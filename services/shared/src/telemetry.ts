import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Every metric's name, in one place. Labels come from closed sets; never a tenant, an agent or an id. */
export interface Telemetry {
  events(result: 'accepted' | 'duplicate' | 'rejected', count: number): void;
  /** A group of requests was written and synced. */
  synced(seconds: number): void;
  /** The disk of the segments has failed. */
  journalFailed(): void;
  /** Segments on disk. */
  segments(files: number, bytes: number): void;
  /** A segment is in ClickHouse. */
  stored(seconds: number, rows: number): void;
  insertFailed(): void;
  segmentStuck(): void;
  /** Memory that holds which event ids are recorded. */
  knownIds(bytes: number): void;
  /** Events in logs of this collector, those of them that no checkpoint covers yet, and logs whose files were changed. */
  logs(state: { readonly entries: number; readonly pending: number; readonly broken: number }): void;
  quarantineDropped(reason: 'size' | 'age', entries: number, bytes: number): void;
  quarantineSize(bytes: number): void;
  requestRefused(status: 429 | 503): void;
  connectionRefused(): void;
  engineRestarts(count: number): void;
  /** Messages of each partition that are not committed yet, all topics together; partitions that are not named have none here. */
  kafkaLag(byPartition: ReadonlyMap<number, number>): void;
  kafkaCommitted(): void;
  kafkaRebalanced(): void;
  kafkaRestarted(): void;
  kafkaQuarantined(messages: number): void;
  /** Prometheus text exposition format, and its media type. */
  expose(): Promise<{ text: string; contentType: string }>;
}

export function createTelemetry(): Telemetry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'agent_audit_process_' });
  const registers = [registry];
  const events = new Counter({ name: 'agent_audit_events_total', help: 'Events received, by what became of them', labelNames: ['result'], registers });
  const syncSeconds = new Histogram({
    name: 'agent_audit_sync_seconds', help: 'Time of one sync of a segment', buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5], registers,
  });
  const journalFailed = new Gauge({ name: 'agent_audit_journal_failed', help: '1 when the disk of the segments has failed and nothing is acknowledged until a restart', registers });
  const segmentFiles = new Gauge({ name: 'agent_audit_segments', help: 'Segments on disk, the open one included', registers });
  const segmentBytes = new Gauge({ name: 'agent_audit_segment_bytes', help: 'Bytes of events on disk that are not in ClickHouse yet', registers });
  const segmentsStuck = new Gauge({ name: 'agent_audit_segments_stuck', help: 'Segments that ClickHouse refuses; they stay on disk', registers });
  const insertSeconds = new Histogram({
    name: 'agent_audit_insert_seconds', help: 'Time until a segment was in ClickHouse and counted there', buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30], registers,
  });
  const insertRows = new Counter({ name: 'agent_audit_inserted_rows_total', help: 'Events inserted into ClickHouse', registers });
  const insertFailures = new Counter({ name: 'agent_audit_insert_failures_total', help: 'Attempts to insert a segment that failed', registers });
  const logEntries = new Gauge({ name: 'agent_audit_log_entries', help: 'Events in the logs of this collector', registers });
  const logPending = new Gauge({ name: 'agent_audit_log_pending', help: 'Events in the logs that no checkpoint covers yet', registers });
  const logsBroken = new Gauge({ name: 'agent_audit_logs_broken', help: 'Logs whose files are not what their checkpoint says', registers });
  const knownIds = new Gauge({ name: 'agent_audit_known_ids_bytes', help: 'Memory that holds which event ids are recorded: three to four bytes for each, from four million on', registers });
  const dropped = new Counter({ name: 'agent_audit_quarantine_dropped_total', help: 'Refused events dropped from quarantine, by the bound that they were beyond', labelNames: ['reason'], registers });
  const droppedBytes = new Counter({ name: 'agent_audit_quarantine_dropped_bytes_total', help: 'Bytes of refused events dropped from quarantine', labelNames: ['reason'], registers });
  const quarantine = new Gauge({ name: 'agent_audit_quarantine_bytes', help: 'Bytes of quarantine on disk, at the last look', registers });
  const requestsRefused = new Counter({ name: 'agent_audit_requests_refused_total', help: 'Requests answered with 429 (a key was too fast) or 503 (not able now)', labelNames: ['status'], registers });
  const refused = new Counter({ name: 'agent_audit_connections_refused_total', help: 'Connections closed at once because there were too many', registers });
  const restarts = new Gauge({ name: 'agent_audit_engine_restarts', help: 'How often the embedded engine was started again', registers });
  const lag = new Gauge({ name: 'agent_audit_kafka_lag', help: 'Messages of a partition that are not committed yet', labelNames: ['partition'], registers });
  const commits = new Counter({ name: 'agent_audit_kafka_commits_total', help: 'Commits of offsets', registers });
  const rebalances = new Counter({ name: 'agent_audit_kafka_rebalances_total', help: 'How often the consumer was given its partitions', registers });
  const consumerRestarts = new Counter({ name: 'agent_audit_kafka_consumer_restarts_total', help: 'How often the consumer ended by itself or could not start, and was started again', registers });
  const quarantined = new Counter({ name: 'agent_audit_kafka_quarantined_total', help: 'Messages that were no events', registers });
  return {
    events: (result, count) => events.inc({ result }, count),
    synced: (seconds) => syncSeconds.observe(seconds),
    journalFailed: () => journalFailed.set(1),
    segments: (files, bytes) => {
      segmentFiles.set(files);
      segmentBytes.set(bytes);
    },
    stored: (seconds, rows) => {
      insertSeconds.observe(seconds);
      insertRows.inc(rows);
    },
    insertFailed: () => insertFailures.inc(),
    segmentStuck: () => segmentsStuck.inc(),
    knownIds: (bytes) => knownIds.set(bytes),
    logs: ({ entries, pending, broken }) => {
      logEntries.set(entries);
      logPending.set(pending);
      logsBroken.set(broken);
    },
    quarantineDropped: (reason, entries, bytes) => {
      dropped.inc({ reason }, entries);
      droppedBytes.inc({ reason }, bytes);
    },
    quarantineSize: (bytes) => quarantine.set(bytes),
    requestRefused: (status) => requestsRefused.inc({ status }),
    connectionRefused: () => refused.inc(),
    engineRestarts: (count) => restarts.set(count),
    kafkaLag: (byPartition) => {
      lag.reset();
      for (const [partition, messages] of byPartition) lag.set({ partition: String(partition) }, messages);
    },
    kafkaCommitted: () => commits.inc(),
    kafkaRebalanced: () => rebalances.inc(),
    kafkaRestarted: () => consumerRestarts.inc(),
    kafkaQuarantined: (messages) => quarantined.inc(messages),
    expose: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  };
}
