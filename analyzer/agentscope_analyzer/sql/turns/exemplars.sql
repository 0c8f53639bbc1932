-- Which turns show a cause best?
--
-- The turns in which each cause took the most seconds.
-- @reads  turns, turns_spent
-- @param  top BIGINT = 3      turns to show for each cause
-- @column cause VARCHAR       cause
-- @column place BIGINT        1 for the turn with most seconds of it
-- @column trace_id VARCHAR    trace of the turn
-- @column wall_s DOUBLE       seconds of the cause in that turn
-- @column duration_s DOUBLE   duration of that turn
WITH ranked AS (
  SELECT
    k.cause AS cause,
    ROW_NUMBER() OVER (PARTITION BY k.cause ORDER BY k.ns DESC, k.turn_id) AS place,
    t.trace_id AS trace_id,
    CAST(k.ns AS DOUBLE) / 1e9 AS wall_s,
    t.duration_s AS duration_s
  FROM turns_spent AS k
  JOIN turns AS t ON t.turn_id = k.turn_id
  WHERE k.ns > 0
)
SELECT cause, place, trace_id, wall_s, duration_s FROM ranked WHERE place <= $top ORDER BY cause, place
