-- How long does a session pause between its turns?
--
-- One row. A session whose last turn ended no longer than such a pause before the run did may still
-- have been live when the run ended.
-- @reads  turns_sessions
-- @column pauses BIGINT    pauses between two turns of one session
-- @column p50_s DOUBLE     median; NULL where no session had two turns
-- @column p90_s DOUBLE     90th percentile
WITH gaps AS (
  SELECT
    CAST(start_ns - MAX(end_ns) OVER (
      PARTITION BY session ORDER BY start_ns, end_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS DOUBLE) / 1e9 AS pause_s
  FROM turns_sessions
  WHERE session IS NOT NULL
), ranked AS (
  SELECT
    pause_s,
    ROW_NUMBER() OVER (ORDER BY pause_s) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM gaps
  WHERE pause_s > 0
)
SELECT
  COUNT(*) AS pauses,
  SUM(pause_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS p50_s,
  SUM(pause_s * GREATEST(0e0, 1e0 - ABS(i - 0.90e0 * last_i))) AS p90_s
FROM ranked
