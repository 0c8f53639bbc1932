-- How many turns were running when each process last reported?
--
-- One row per process. What a process that was killed had in hand left no span.
-- @reads  metrics
-- @column instance VARCHAR    process
-- @column time_ns BIGINT      its last report
-- @column turns BIGINT        turns running then
WITH ranked AS (
  SELECT
    instance,
    time_ns,
    value,
    ROW_NUMBER() OVER (PARTITION BY instance ORDER BY time_ns DESC) AS place
  FROM metrics
  WHERE name = 'agentscope.turns.active' AND value >= 0 AND value < 1e9
)
SELECT instance, time_ns, CAST(value AS BIGINT) AS turns FROM ranked WHERE place = 1
ORDER BY instance
