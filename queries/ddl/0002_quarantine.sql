-- Events that were refused, with their bytes and the reasons, so that they can be looked at.
CREATE TABLE IF NOT EXISTS quarantine
(
    tenant         LowCardinality(String),
    received_at    DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    quarantine_id  UUID,
    collector_id   LowCardinality(String),
    origin         String COMMENT 'How it came in, such as http:<key id>' CODEC(ZSTD(1)),
    event_id       String COMMENT 'Empty where none could be read' CODEC(ZSTD(1)),
    errors         String COMMENT 'JSON array of {path, code, message}' CODEC(ZSTD(1)),
    raw            String COMMENT 'Byte for byte as received, UTF-8 or not' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (tenant, received_at, quarantine_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000;
