-- Which turns were still running when their process shut down, and had run longer than any that ended?
--
-- One row; of an ordinary turn that the shutdown cut short nothing is said. What such a turn waits for
-- may be a deadlock, or a call without a time-out.
-- @reads  turns, turns_spent
-- @column turns BIGINT       turns that never ended
-- @column wall_s DOUBLE      seconds of all of them
-- @column longest_s DOUBLE   how long the longest had run
-- @column ended_s DOUBLE     the longest turn that ended; NULL where none did
-- @column cause VARCHAR      the cause that took most of their time; NULL where there are none
-- @column cause_s DOUBLE     seconds of it
WITH ended AS (
  SELECT MAX(duration_s) AS longest_s FROM turns WHERE outcome IS DISTINCT FROM 'open'
), hung AS (
  SELECT t.turn_id AS turn_id, t.duration_s AS duration_s
  FROM turns AS t
  CROSS JOIN ended AS e
  WHERE t.outcome = 'open' AND t.duration_s > COALESCE(e.longest_s, 0e0)
), spent AS (
  SELECT k.cause AS cause, CAST(SUM(k.ns) AS DOUBLE) / 1e9 AS wall_s
  FROM turns_spent AS k
  JOIN hung AS h ON h.turn_id = k.turn_id
  GROUP BY k.cause
), most AS (
  SELECT cause, wall_s FROM spent ORDER BY wall_s DESC, cause LIMIT 1
)
SELECT
  COUNT(h.turn_id) AS turns,
  COALESCE(SUM(h.duration_s), 0e0) AS wall_s,
  MAX(h.duration_s) AS longest_s,
  (SELECT longest_s FROM ended) AS ended_s,
  (SELECT cause FROM most) AS cause,
  (SELECT wall_s FROM most) AS cause_s
FROM hung AS h
