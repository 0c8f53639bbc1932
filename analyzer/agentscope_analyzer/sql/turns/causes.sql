-- Where did the wall time of all turns go?
--
-- One row per cause that took time or has bounds. Seconds of all causes add up to the duration of
-- all turns. Where a turn has no bounds for a cause, its seconds stand for both of them. Sums are
-- taken in whole nanoseconds and divided once.
-- @reads  turns, turns_spent, bounds
-- @column cause VARCHAR       cause
-- @column turns BIGINT        turns in which it took time
-- @column wall_s DOUBLE       seconds of all turns
-- @column share DOUBLE        of the wall time of all turns
-- @column low_s DOUBLE        lower bound of wall_s; NULL where the method gives none
-- @column high_s DOUBLE       upper bound of wall_s; NULL where the method gives none
-- @column p95_share DOUBLE    share of the time of turns at or above the p95 duration
WITH ranked AS (
  SELECT
    turn_id,
    duration_s,
    end_ns - start_ns AS duration_ns,
    ROW_NUMBER() OVER (ORDER BY duration_s) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM turns
), threshold AS (
  SELECT SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS p95_s FROM ranked
), slow AS (
  -- a millionth of slack: the weighted sum of equal durations may round upwards
  SELECT turn_id, duration_ns
  FROM ranked
  WHERE duration_s >= (SELECT p95_s * 0.999999e0 FROM threshold)
), marks AS (
  SELECT turn_id, cause, ns, CAST(NULL AS DOUBLE) AS low_s, CAST(NULL AS DOUBLE) AS high_s
  FROM turns_spent
  UNION ALL
  SELECT turn_id, cause, CAST(NULL AS BIGINT) AS ns, low_s, high_s FROM bounds
), per_turn AS (
  SELECT
    turn_id,
    cause,
    COALESCE(MAX(ns), 0) AS ns,
    MAX(low_s) AS low_s,
    MAX(high_s) AS high_s
  FROM marks
  GROUP BY turn_id, cause
)
SELECT
  p.cause AS cause,
  COUNT(*) FILTER (WHERE p.ns > 0) AS turns,
  CAST(SUM(p.ns) AS DOUBLE) / 1e9 AS wall_s,
  CAST(SUM(p.ns) AS DOUBLE) / (SELECT CAST(SUM(end_ns - start_ns) AS DOUBLE) FROM turns) AS share,
  CASE WHEN COUNT(p.low_s) > 0 THEN SUM(COALESCE(p.low_s, p.ns / 1e9)) END AS low_s,
  CASE WHEN COUNT(p.high_s) > 0 THEN SUM(COALESCE(p.high_s, p.ns / 1e9)) END AS high_s,
  COALESCE(CAST(SUM(CASE WHEN slow.turn_id IS NOT NULL THEN p.ns END) AS DOUBLE), 0e0)
    / (SELECT CAST(SUM(duration_ns) AS DOUBLE) FROM slow) AS p95_share
FROM per_turn AS p
LEFT JOIN slow ON slow.turn_id = p.turn_id
GROUP BY p.cause
ORDER BY wall_s DESC, cause
