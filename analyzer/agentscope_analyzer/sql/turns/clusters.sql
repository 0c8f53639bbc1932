-- How do turns spread over sessions, duration and load?
--
-- One row per cluster of sessions (see turns/_parts): what a resampling of sessions draws.
-- @reads  turns_parts
-- @param  since_ns BIGINT = 0   of the thirds by load, turns that begin before are left out
-- @column cluster BIGINT        cluster
-- @column whole BIGINT          turns of its sessions
-- @column nameless BIGINT       those whose session is not known
-- @column slow BIGINT           turns at or above the p95 duration
-- @column middle BIGINT         turns of the middle fifth by duration
-- @column below BIGINT          turns shorter than those
-- @column least BIGINT          turns of the third with least turns in flight
-- @column most BIGINT           turns of the third with most turns in flight
-- @column least_flight BIGINT   turns in flight when those of the least third began, added up
-- @column most_flight BIGINT    turns in flight when those of the most third began, added up
SELECT
  cluster,
  COUNT(*) AS whole,
  COUNT(*) FILTER (WHERE NOT known) AS nameless,
  COUNT(*) FILTER (WHERE slow) AS slow,
  COUNT(*) FILTER (WHERE middle) AS middle,
  COUNT(*) FILTER (WHERE place < 0.4e0) AS below,
  COUNT(*) FILTER (WHERE load_part = 1 AND start_ns >= $since_ns) AS least,
  COUNT(*) FILTER (WHERE load_part = 3 AND start_ns >= $since_ns) AS most,
  CAST(SUM(CASE WHEN load_part = 1 AND start_ns >= $since_ns THEN in_flight ELSE 0 END) AS BIGINT) AS least_flight,
  CAST(SUM(CASE WHEN load_part = 3 AND start_ns >= $since_ns THEN in_flight ELSE 0 END) AS BIGINT) AS most_flight
FROM turns_parts
GROUP BY cluster
ORDER BY cluster
