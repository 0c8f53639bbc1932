-- Did the load generator send while the turns of this run were served?
--
-- One row.
-- @reads  load, turns
-- @param  ahead_s DOUBLE = 0          by how much the service's clock is ahead of the generator's
-- @column requests BIGINT             requests, those that are no turns included
-- @column first_s DOUBLE              first sent, epoch seconds of the generator
-- @column last_s DOUBLE               last answered
-- @column turns BIGINT                turns
-- @column before BIGINT               turns that ended a second or more before the first request
-- @column after BIGINT                turns that began a second or more after the last answer
WITH sent AS (
  SELECT
    COUNT(*) AS requests,
    MIN(t_start) AS first_s,
    MAX(t_start + duration_s) AS last_s
  FROM load
  WHERE t_start BETWEEN 0 AND 9e9 AND duration_s BETWEEN 0 AND 1e7
)
SELECT
  MAX(sent.requests) AS requests,
  MAX(sent.first_s) AS first_s,
  MAX(sent.last_s) AS last_s,
  COUNT(t.turn_id) AS turns,
  COUNT(*) FILTER (WHERE t.end_ns / 1e9 < sent.first_s + $ahead_s - 1e0) AS before,
  COUNT(*) FILTER (WHERE t.start_ns / 1e9 > sent.last_s + $ahead_s + 1e0) AS after
FROM sent
LEFT JOIN turns AS t ON TRUE
