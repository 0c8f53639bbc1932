-- Which turn is a good example of the slow ones?
--
-- Of the turns from the 95th to the 98th percentile of duration the one that spent most seconds on
-- the given cause; with no cause given, the first at or above the 95th. One row.
-- @reads  turns, sections, spans
-- @param  cause VARCHAR = none   cause that it should show
-- @column trace_id VARCHAR       its trace
-- @column turn_id VARCHAR        the turn
-- @column duration_s DOUBLE      how long it took
-- @column wall_s DOUBLE          of that, seconds of the cause
-- @column spans BIGINT           spans of its trace
WITH ranked AS (
  SELECT
    turn_id,
    trace_id,
    duration_s,
    ROW_NUMBER() OVER (ORDER BY duration_s, turn_id) - 1 AS i,
    COUNT(*) OVER () - 1 AS last_i
  FROM turns
), near AS (
  SELECT turn_id, trace_id, duration_s, i
  FROM ranked
  WHERE i BETWEEN CEIL(0.95e0 * last_i) AND CEIL(0.98e0 * last_i)
), taken AS (
  SELECT turn_id, CAST(SUM(end_ns - start_ns) AS DOUBLE) / 1e9 AS wall_s
  FROM sections
  WHERE cause = $cause AND turn_id IN (SELECT turn_id FROM near)
  GROUP BY turn_id
), placed AS (
  SELECT
    n.trace_id AS trace_id,
    n.turn_id AS turn_id,
    n.duration_s AS duration_s,
    COALESCE(t.wall_s, 0e0) AS wall_s,
    ROW_NUMBER() OVER (ORDER BY COALESCE(t.wall_s, 0e0) DESC, n.i, n.turn_id) AS place
  FROM near AS n
  LEFT JOIN taken AS t ON t.turn_id = n.turn_id
)
SELECT
  trace_id,
  turn_id,
  duration_s,
  wall_s,
  (
    SELECT COUNT(*) FROM spans
    WHERE trace_id = (SELECT trace_id FROM placed WHERE place = 1) AND runtime_event IS NULL
  ) AS spans
FROM placed
WHERE place = 1
