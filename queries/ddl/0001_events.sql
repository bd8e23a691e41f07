-- One row per recorded event. Rows are immutable: nothing updates or replaces them.
--
-- Sorted so that one agent's window is one contiguous read. Partitioned by the month of *receipt*,
-- so that wrong clocks and late events scatter nothing. A granule is 1,024 rows, because a page is
-- 100 of them and the bytes of an event are most of a row.
CREATE TABLE IF NOT EXISTS events
(
    -- Who recorded it, where and when. Never from the producer.
    tenant                   LowCardinality(String) COMMENT 'From the credential, never from the event',
    received_at              DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    collector_id             LowCardinality(String),
    log_index                UInt64 COMMENT 'Place in the order of recording of this tenant at this collector, from 0, without holes' CODEC(Delta, ZSTD(1)),
    segment_id               UUID COMMENT 'The insert that brought the row; also its deduplication token' CODEC(ZSTD(1)),
    flags                    UInt8 COMMENT 'Bits: 1 late, 2 in the future, 4 conflict; see queries/src/events/flags.ts',

    -- Columns derived from raw.
    event_id                 String CODEC(ZSTD(1)),
    time                     DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    kind                     Enum8('tool_call' = 1, 'data_access' = 2),
    action                   Enum8('invoke' = 1, 'read' = 2, 'query' = 3, 'list' = 4, 'create' = 5, 'write' = 6, 'update' = 7, 'delete' = 8, 'execute' = 9, 'send' = 10, 'grant' = 11, 'login' = 12, 'other' = 13),

    agent_id                 String CODEC(ZSTD(1)),
    agent_name               LowCardinality(String),
    agent_version            LowCardinality(String),
    agent_instance_id        String CODEC(ZSTD(1)),
    parent_agent_id          String CODEC(ZSTD(1)),
    model_provider           LowCardinality(String),
    model_id                 LowCardinality(String),

    session_id               String CODEC(ZSTD(1)),
    trace_id                 String CODEC(ZSTD(1)),
    span_id                  String CODEC(ZSTD(1)),
    parent_span_id           String CODEC(ZSTD(1)),

    -- The delegation chain, root first; the four arrays have one element per link.
    principal_types          Array(LowCardinality(String)),
    principal_ids            Array(String) CODEC(ZSTD(1)),
    delegation_ids           Array(String) CODEC(ZSTD(1)),
    parent_delegation_ids    Array(String) CODEC(ZSTD(1)),

    tool_name                LowCardinality(String),
    tool_server              LowCardinality(String),
    tool_call_id             String CODEC(ZSTD(1)),
    tool_definition_hash     LowCardinality(String),

    -- The four resource arrays have one element per resource; 0 where a number was not given.
    resource_uris            Array(String) CODEC(ZSTD(1)),
    resource_types           Array(LowCardinality(String)),
    resource_records         Array(UInt64) CODEC(ZSTD(1)),
    resource_bytes           Array(UInt64) CODEC(ZSTD(1)),
    classifications          Array(LowCardinality(String)) COMMENT 'Of all resources, each once',

    outcome_status           Enum8('success' = 1, 'failure' = 2, 'denied' = 3, 'timeout' = 4, 'unknown' = 5),
    outcome_code             LowCardinality(String),
    outcome_message          String CODEC(ZSTD(1)),
    decision_effect          Enum8('' = 0, 'allow' = 1, 'deny' = 2, 'modify' = 3),
    decision_policy_id       LowCardinality(String),
    decision_policy_version  LowCardinality(String),

    destination_host         String CODEC(ZSTD(1)),
    destination_ip           String COMMENT 'As the producer wrote it' CODEC(ZSTD(1)),
    destination_port         UInt16,
    protocol                 LowCardinality(String),
    bytes_out                UInt64 CODEC(ZSTD(1)),
    bytes_in                 UInt64 CODEC(ZSTD(1)),
    duration_ms              Nullable(Float64) CODEC(ZSTD(1)),

    emitter                  String CODEC(ZSTD(1)),
    has_sequence             Bool,
    sequence                 UInt64 COMMENT '0 where has_sequence is false' CODEC(Delta, ZSTD(1)),
    vantage                  Enum8('' = 0, 'agent' = 1, 'gateway' = 2, 'resource' = 3),

    raw                      String COMMENT 'The event, byte for byte as recorded' CODEC(ZSTD(1)),

    -- Finds a repeat of an event_id, and the event of one id, without reading the rest.
    INDEX event_id_bloom event_id TYPE bloom_filter(0.001) GRANULARITY 1,
    -- Prunes a window over all agents, whose rows the sort order scatters.
    INDEX time_range time TYPE minmax GRANULARITY 1,

    -- Which emitters spoke about an agent, by hour of event time since 1900: ClickHouse's own hours
    -- begin in 1970. A projection is written with its
    -- part, so completeness can never disagree with the rows, whatever died in the middle.
    PROJECTION agent_hours
    (
        SELECT tenant, agent_id, intDiv(toUInt64(toUnixTimestamp64Nano(time)) + 2208988800000000000, 3600000000000) AS hour, emitter, has_sequence,
               count(), min(sequence), max(sequence), countIf(bitTest(flags, 0)), countIf(bitTest(flags, 2))
        GROUP BY tenant, agent_id, hour, emitter, has_sequence
    ),
    -- Which sequence numbers of an emitter exist at all. Bitmaps unite, so a repeated row counts once.
    PROJECTION emitter_sequences
    (
        SELECT tenant, emitter, has_sequence, intDiv(sequence, 4096) AS bucket, groupBitmapState(sequence)
        GROUP BY tenant, emitter, has_sequence, bucket
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (tenant, agent_id, time, event_id)
SETTINGS
    index_granularity = 1024,
    -- A new part is one file, not one per column: a quarter of the time of an insert that syncs.
    min_bytes_for_wide_part = 134217728,
    -- A month that rests becomes one part: a read takes a granule of every part that it touches.
    min_age_to_force_merge_seconds = 21600,
    min_age_to_force_merge_on_partition_only = 1,
    -- An acknowledged insert survives a power cut.
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    -- A repeated insert with the same token is dropped, also on a table without replicas.
    non_replicated_deduplication_window = 10000;
