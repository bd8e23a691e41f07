-- Completeness by instance of an emitter: one that starts again counts from its own start. The two projections of
-- 0001 did not know instances; these take their place, also in parts that are there already.
-- The instance is the agent's, but for gateways and resources: they see many agents and have one counter for all.
ALTER TABLE events ADD PROJECTION IF NOT EXISTS instance_hours
(
    SELECT tenant, agent_id, intDiv(toUInt64(toUnixTimestamp64Nano(time)) + 2208988800000000000, 3600000000000) AS hour, emitter,
           if(vantage = 'gateway' OR vantage = 'resource', '', agent_instance_id) AS instance, has_sequence,
           count(), min(sequence), max(sequence), countIf(bitTest(flags, 0)), countIf(bitTest(flags, 2)), min(toUnixTimestamp64Nano(time))
    GROUP BY tenant, agent_id, hour, emitter, instance, has_sequence
);
-- Beside the bitmaps, how many events have these numbers: more events than numbers are numbers used twice.
ALTER TABLE events ADD PROJECTION IF NOT EXISTS instance_sequences
(
    SELECT tenant, emitter, if(vantage = 'gateway' OR vantage = 'resource', '', agent_instance_id) AS instance, has_sequence, intDiv(sequence, 4096) AS bucket,
           groupBitmapState(sequence), countIf(NOT bitTest(flags, 2))
    GROUP BY tenant, emitter, instance, has_sequence, bucket
);
-- Finds the events of a bucket whose numbers were used twice.
ALTER TABLE events ADD INDEX IF NOT EXISTS emitter_bloom emitter TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE events ADD INDEX IF NOT EXISTS sequence_range sequence TYPE minmax GRANULARITY 1;
ALTER TABLE events MATERIALIZE PROJECTION instance_hours;
ALTER TABLE events MATERIALIZE PROJECTION instance_sequences;
ALTER TABLE events MATERIALIZE INDEX emitter_bloom;
ALTER TABLE events MATERIALIZE INDEX sequence_range;
ALTER TABLE events DROP PROJECTION IF EXISTS agent_hours;
ALTER TABLE events DROP PROJECTION IF EXISTS emitter_sequences;
ALTER TABLE event_marks ADD COLUMN IF NOT EXISTS instance String COMMENT 'Of the emitter';
