-- How long do turns take, how many fail, how many sessions had them?
--
-- One row. Quantiles are exact, interpolated between neighbours: rank i of n (from 0) gets the
-- weight 1 - |i - p (n - 1)| where that is positive.
-- @reads  turns
-- @column turns BIGINT            turns of the run
-- @column sessions BIGINT         sessions that had a turn; turns without a session are not counted
-- @column errors BIGINT           turns that failed
-- @column instances BIGINT        processes that served turns
-- @column first_start_ns BIGINT   start of the first turn
-- @column last_end_ns BIGINT      end of the last one to end
-- @column wall_s DOUBLE           durations of all turns added up
-- @column p50_s DOUBLE            median duration
-- @column p90_s DOUBLE            90th percentile
-- @column p95_s DOUBLE            95th percentile
-- @column p99_s DOUBLE            99th percentile
-- @column max_s DOUBLE            longest turn
-- @column ttfb_p50_s DOUBLE       median time to the first byte of the answer
-- @column ttfb_p95_s DOUBLE       95th percentile of it
WITH ranked AS (
  SELECT
    duration_s,
    ROW_NUMBER() OVER (ORDER BY duration_s) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM turns
), bytes AS (
  SELECT
    first_byte_s,
    ROW_NUMBER() OVER (ORDER BY first_byte_s) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM turns
  WHERE first_byte_s IS NOT NULL
), quantiles AS (
  SELECT
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS p50_s,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.90e0 * last_i))) AS p90_s,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS p95_s,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.99e0 * last_i))) AS p99_s
  FROM ranked
), first_bytes AS (
  SELECT
    SUM(first_byte_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS ttfb_p50_s,
    SUM(first_byte_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS ttfb_p95_s
  FROM bytes
), totals AS (
  SELECT
    COUNT(*) AS turns,
    COUNT(DISTINCT session) AS sessions,
    COUNT(*) FILTER (WHERE error) AS errors,
    COUNT(DISTINCT instance) AS instances,
    MIN(start_ns) AS first_start_ns,
    MAX(end_ns) AS last_end_ns,
    CAST(SUM(end_ns - start_ns) AS DOUBLE) / 1e9 AS wall_s,
    MAX(duration_s) AS max_s
  FROM turns
)
SELECT
  turns, sessions, errors, instances, first_start_ns, last_end_ns, wall_s,
  p50_s, p90_s, p95_s, p99_s, max_s, ttfb_p50_s, ttfb_p95_s
FROM totals
CROSS JOIN quantiles
CROSS JOIN first_bytes
