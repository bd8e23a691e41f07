-- Changes to API keys; the row with the highest version is the key's present state.
-- Read with argMax, never by hoping that a merge has happened.
CREATE TABLE IF NOT EXISTS api_keys
(
    tenant        LowCardinality(String),
    key_id        String,
    version       UInt64 COMMENT 'Microseconds since the epoch at which this state began',
    name          String,
    secret_sha256 String COMMENT 'SHA-256 of the whole bearer token, lower-case hex; the token itself is never stored',
    scopes        Array(String),
    created_at    DateTime64(6, 'UTC'),
    expires_at    Nullable(DateTime64(6, 'UTC')),
    revoked_at    Nullable(DateTime64(6, 'UTC')),
    events_per_second   UInt32 COMMENT '0: the service''s default',
    requests_per_second UInt32 COMMENT '0: the service''s default'
)
ENGINE = MergeTree
ORDER BY (tenant, key_id, version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;
