-- Where does the time of a typical turn go, and where that of the slowest ones?
--
-- One row per band and cause: all turns; the middle fifth by duration; those at or above the p95
-- duration. 0 s where only other bands have the cause.
-- @reads  turns_parts, turns_spent
-- @column band VARCHAR            all, middle or slow
-- @column cause VARCHAR           cause
-- @column turns BIGINT            turns of the band
-- @column wall_s_per_turn DOUBLE  seconds of the cause in one turn of the band, on average
WITH banded AS (
  SELECT turn_id, 'all' AS band FROM turns_parts
  UNION ALL
  SELECT turn_id, 'middle' AS band FROM turns_parts WHERE middle
  UNION ALL
  SELECT turn_id, 'slow' AS band FROM turns_parts WHERE slow
), sizes AS (
  SELECT band, COUNT(*) AS turns FROM banded GROUP BY band
), taken AS (
  SELECT b.band AS band, k.cause AS cause, CAST(SUM(k.ns) AS DOUBLE) / 1e9 AS wall_s
  FROM turns_spent AS k
  JOIN banded AS b ON b.turn_id = k.turn_id
  GROUP BY b.band, k.cause
)
SELECT
  z.band AS band,
  c.cause AS cause,
  z.turns AS turns,
  COALESCE(t.wall_s, 0e0) / z.turns AS wall_s_per_turn
FROM sizes AS z
CROSS JOIN (SELECT DISTINCT cause FROM taken) AS c
LEFT JOIN taken AS t ON t.band = z.band AND t.cause = c.cause
ORDER BY z.band, c.cause
