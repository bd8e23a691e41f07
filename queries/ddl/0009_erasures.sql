-- Why bytes of events are gone, signed by the key of their log: nobody without that key can make an erasure up.
CREATE TABLE IF NOT EXISTS erasures
(
    tenant        LowCardinality(String),
    collector_id  LowCardinality(String),
    erasure_id    UUID,
    erased_at     DateTime64(6, 'UTC'),
    note          String COMMENT 'Signed note: which places of the log, who, when and why; docs/proof.md' CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (tenant, collector_id, erasure_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

-- What is left of an erased event: enough to make its leaf again. One may be written twice; readers take any.
CREATE TABLE IF NOT EXISTS event_tombstones
(
    tenant        LowCardinality(String),
    collector_id  LowCardinality(String),
    log_index     UInt64 CODEC(Delta, ZSTD(1)),
    event_id      String CODEC(ZSTD(1)),
    received_at   DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    digest        FixedString(32) COMMENT 'SHA-256(salt || bytes), which says nothing of them without the salt',
    erasure_id    UUID CODEC(ZSTD(1)),

    -- So that an erased event is no hole in the numbers of its emitter.
    emitter       String CODEC(ZSTD(1)),
    instance      String COMMENT 'Of the emitter, as the projections of events have it' CODEC(ZSTD(1)),
    has_sequence  Bool,
    sequence      UInt64 CODEC(ZSTD(1)),

    INDEX event_id_bloom event_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY (tenant, collector_id, log_index)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;
