-- How long do users think between two turns of a session?
--
-- One row over the gaps between a turn's end and the next start of the same session.
-- @reads  turns_sessions
-- @column sessions BIGINT          sessions with two turns or more
-- @column gaps BIGINT              turns that follow another one of their session
-- @column overlapping BIGINT       of those, turns that began before an earlier one had ended
-- @column gap_p05_s DOUBLE         gap, 5th percentile
-- @column gap_p50_s DOUBLE         median
-- @column gap_p95_s DOUBLE         95th percentile
-- @column turn_p50_s DOUBLE        duration of those turns, median
-- @column last_start_ns BIGINT     start of the run's last turn
WITH followed AS (
  SELECT
    session,
    CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS turn_s,
    CAST(start_ns - MAX(end_ns) OVER (
      PARTITION BY session ORDER BY start_ns, turn_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS DOUBLE) / 1e9 AS gap_s
  FROM turns_sessions
  WHERE session IS NOT NULL
), gaps AS (
  SELECT
    session,
    turn_s,
    gap_s,
    ROW_NUMBER() OVER (ORDER BY gap_s) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM followed
  WHERE gap_s IS NOT NULL
)
SELECT
  COUNT(DISTINCT session) AS sessions,
  COUNT(*) AS gaps,
  COUNT(*) FILTER (WHERE gap_s < -1e-3) AS overlapping,
  SUM(gap_s * GREATEST(0e0, 1e0 - ABS(i - 0.05e0 * last_i))) AS gap_p05_s,
  SUM(gap_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS gap_p50_s,
  SUM(gap_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS gap_p95_s,
  median(turn_s) AS turn_p50_s,
  (SELECT MAX(start_ns) FROM turns_sessions) AS last_start_ns
FROM gaps
