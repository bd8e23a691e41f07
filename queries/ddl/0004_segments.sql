-- Which segments were stored, by whom: how collectors that share a database hear of each other's events.
-- Not synced: a collector that starts learns from the events themselves.
CREATE TABLE IF NOT EXISTS segments
(
    stored_at          DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'By the clock of the server',
    segment_id         UUID,
    collector_id       LowCardinality(String),
    first_received_at  DateTime64(6, 'UTC'),
    last_received_at   DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY stored_at
TTL toDateTime(stored_at) + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, merge_with_ttl_timeout = 86400, non_replicated_deduplication_window = 100;
