-- Events that were refused, with their bytes and the reasons, so that they can be looked at and replayed.
-- Rows are immutable. Partitioned by day of receipt: the oldest are dropped by whole days when there are too many.
CREATE TABLE IF NOT EXISTS quarantine
(
    tenant         LowCardinality(String),
    received_at    DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    quarantine_id  UUID,
    collector_id   LowCardinality(String),
    origin         String COMMENT 'How it came in, such as http:<key id>' CODEC(ZSTD(1)),
    event_id       String COMMENT 'Empty where none could be read' CODEC(ZSTD(1)),
    errors         String COMMENT 'JSON array of {path, code, message}' CODEC(ZSTD(1)),
    raw            String COMMENT 'Byte for byte as received, UTF-8 or not' CODEC(ZSTD(1)),
    bytes          UInt64 MATERIALIZED length(raw) COMMENT 'So that pages can be cut without reading raw',

    INDEX quarantine_id_bloom quarantine_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_at)
ORDER BY (tenant, received_at, quarantine_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000;

-- What was recorded after all. An entry with a row here is replayed; marks may repeat, so count distinct ids.
-- Sorted and partitioned by the receipt of the *entry*: the marks of a window are one read, and go when their day goes.
CREATE TABLE IF NOT EXISTS quarantine_replays
(
    tenant         LowCardinality(String),
    received_at    DateTime64(6, 'UTC') COMMENT 'Of the entry' CODEC(Delta, ZSTD(1)),
    quarantine_id  UUID,
    replayed_at    DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    origin         String COMMENT 'Who replayed it, such as http:<key id>' CODEC(ZSTD(1)),
    event_id       String COMMENT 'Under which it is recorded' CODEC(ZSTD(1)),
    corrected      Bool COMMENT 'Recorded from other bytes than the entry holds'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_at)
ORDER BY (tenant, received_at, quarantine_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

-- How many entries were dropped, by tenant and day of receipt: what is gone must not look as if it had never been.
CREATE TABLE IF NOT EXISTS quarantine_dropped
(
    tenant         LowCardinality(String),
    day            Date COMMENT 'Of receipt',
    dropped_at     DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    reason         LowCardinality(String) COMMENT 'size or age',
    outstanding    UInt64 COMMENT 'Entries that had not been replayed',
    replayed       UInt64,
    bytes          UInt64
)
ENGINE = MergeTree
ORDER BY (tenant, day, dropped_at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;
