-- Where did the wall time of each cluster of sessions go: of its slow turns, its middle ones, by load?
--
-- One row per cluster (see turns/_parts) and cause that took time in it.
-- @reads  turns_parts, turns_spent
-- @param  since_ns BIGINT = 0   of the thirds by load, turns that begin before are left out
-- @column cluster BIGINT     cluster
-- @column cause VARCHAR      cause
-- @column whole_s DOUBLE     seconds of it in all turns
-- @column slow_s DOUBLE      in turns at or above the p95 duration
-- @column middle_s DOUBLE    in turns of the middle fifth by duration
-- @column least_s DOUBLE     in the third of turns with least turns in flight
-- @column most_s DOUBLE      in the third of turns with most turns in flight
SELECT
  p.cluster AS cluster,
  t.cause AS cause,
  CAST(SUM(t.ns) AS DOUBLE) / 1e9 AS whole_s,
  CAST(SUM(CASE WHEN p.slow THEN t.ns ELSE 0 END) AS DOUBLE) / 1e9 AS slow_s,
  CAST(SUM(CASE WHEN p.middle THEN t.ns ELSE 0 END) AS DOUBLE) / 1e9 AS middle_s,
  CAST(SUM(CASE WHEN p.load_part = 1 AND p.start_ns >= $since_ns THEN t.ns ELSE 0 END) AS DOUBLE) / 1e9 AS least_s,
  CAST(SUM(CASE WHEN p.load_part = 3 AND p.start_ns >= $since_ns THEN t.ns ELSE 0 END) AS DOUBLE) / 1e9 AS most_s
FROM turns_spent AS t
JOIN turns_parts AS p ON p.turn_id = t.turn_id
GROUP BY p.cluster, t.cause
ORDER BY p.cluster, t.cause
