-- What was noticed about rows of `events` after they were recorded: two collectors that recorded the
-- same event at the same moment knew nothing of each other. Rows there are never changed, so it is noted here.
-- A mark may be written twice; readers count distinct ones.
CREATE TABLE IF NOT EXISTS event_marks
(
    tenant        LowCardinality(String),
    agent_id      String,
    time          DateTime64(9, 'UTC'),
    event_id      String,
    collector_id  LowCardinality(String),
    log_index     UInt64,
    mark          Enum8('copy' = 1, 'conflict' = 2) COMMENT 'copy: the same bytes were recorded before; conflict: other bytes were',
    flags         UInt8 COMMENT 'Of the row in events',
    emitter       String,
    has_sequence  Bool,
    sequence      UInt64
)
ENGINE = MergeTree
ORDER BY (tenant, agent_id, time, event_id, collector_id, log_index, mark)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
