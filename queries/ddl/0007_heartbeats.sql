-- What emitters said of themselves: "I am alive, and my last number is N". However often they beat, one row per ten
-- minutes, emitter, instance and agent (two where it stopped) once parts are merged; until then there are more, so always read with GROUP BY.
-- A repeat changes nothing.
CREATE TABLE IF NOT EXISTS heartbeats
(
    tenant      LowCardinality(String),
    slot        UInt32 COMMENT 'Ten minutes each, since the Unix epoch',
    emitter     String,
    instance    String COMMENT 'As in the projections of events: empty where the emitter has one counter for all',
    agent_id    String COMMENT 'Agent that it speaks for; empty where it does not say',
    promised    Bool COMMENT 'Whether it promised another: the last word counts, so the two are kept apart',
    first_at    SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'Never after the receipt',
    last_at     SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    due_at      SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'When the next was to come at the latest; in 2262 where none was promised',
    lowest      SimpleAggregateFunction(min, UInt64) COMMENT 'Of the numbers that were said to be the last; 2^53 where none was',
    end         SimpleAggregateFunction(max, UInt64) COMMENT 'One more than the highest of them; 0 where none was'
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, slot, emitter, instance, agent_id, promised)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
