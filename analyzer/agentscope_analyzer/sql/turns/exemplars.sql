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
    cause,
    turn_id,
    ns,
    ROW_NUMBER() OVER (PARTITION BY cause ORDER BY ns DESC, turn_id) AS place
  FROM turns_spent
  WHERE ns > 0
)
SELECT
  k.cause AS cause,
  k.place AS place,
  t.trace_id AS trace_id,
  CAST(k.ns AS DOUBLE) / 1e9 AS wall_s,
  t.duration_s AS duration_s
FROM ranked AS k
JOIN turns AS t ON t.turn_id = k.turn_id
WHERE k.place <= $top
ORDER BY k.cause, k.place
