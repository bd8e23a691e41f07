-- When collectors were taking events in: one row per run once parts are merged; until then there are more, so always
-- read with GROUP BY. Not synced: what a crash takes of it is seconds.
CREATE TABLE IF NOT EXISTS collector_runs
(
    collector_id  String,
    run_id        UUID,
    started_at    SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'By the clock of the collector',
    seen_at       SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'Its last word',
    ended         SimpleAggregateFunction(max, UInt8) COMMENT '1: that was its end; 0: it holds for some seconds'
)
ENGINE = AggregatingMergeTree
ORDER BY (collector_id, run_id);
