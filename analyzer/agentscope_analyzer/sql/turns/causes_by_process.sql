-- What is a turn made of in each process that serves the same request?
--
-- One row per process and cause that took time; means over the turns that it served, or a part of them.
-- @reads  spans, turns, turns_spent
-- @param  service VARCHAR       service
-- @param  name VARCHAR          name of the span that serves the request
-- @column instance VARCHAR      process
-- @column cause VARCHAR         cause
-- @column turns BIGINT          turns that it served
-- @column wall_s_per_turn DOUBLE  seconds of the cause in one of them, on average
WITH served AS (
  SELECT DISTINCT s.instance AS instance, t.turn_id AS turn_id
  FROM spans AS s
  JOIN turns AS t ON t.trace_id = s.trace_id AND s.start_ns < t.end_ns AND s.end_ns > t.start_ns
  WHERE s.kind = 'SERVER' AND s.service = $service AND s.name = $name AND NOT t.error
), counted AS (
  SELECT instance, COUNT(*) AS turns FROM served GROUP BY instance
), spent AS (
  SELECT v.instance AS instance, k.cause AS cause, CAST(SUM(k.ns) AS DOUBLE) / 1e9 AS wall_s
  FROM served AS v
  JOIN turns_spent AS k ON k.turn_id = v.turn_id
  GROUP BY v.instance, k.cause
)
SELECT
  s.instance AS instance,
  s.cause AS cause,
  c.turns AS turns,
  s.wall_s / c.turns AS wall_s_per_turn
FROM spent AS s
JOIN counted AS c ON c.instance = s.instance
ORDER BY s.instance, s.cause
