-- How long do turns take that began after a moment?
--
-- One row, an exact quantile as in turns/summary.
-- @reads  turns
-- @param  from_ns BIGINT      the moment
-- @column turns BIGINT        turns that began then or later
-- @column p95_s DOUBLE        95th percentile of their durations
WITH ranked AS (
  SELECT
    duration_s,
    ROW_NUMBER() OVER (ORDER BY duration_s) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM turns
  WHERE start_ns >= $from_ns
)
SELECT
  COUNT(*) AS turns,
  SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS p95_s
FROM ranked
