-- Turns with the session they belong to.
--
-- A turn that names no session takes the one that the load generator sent with its trace.
-- @reads  turns, load
-- @column turn_id VARCHAR     turn
-- @column trace_id VARCHAR    its trace
-- @column session VARCHAR     its session; NULL where neither side names one
-- @column start_ns BIGINT     its start
-- @column end_ns BIGINT       its end
WITH sent AS (
  SELECT trace_id, MIN(session) AS session FROM load WHERE trace_id IS NOT NULL GROUP BY trace_id
)
SELECT
  t.turn_id AS turn_id,
  t.trace_id AS trace_id,
  COALESCE(t.session, sent.session) AS session,
  t.start_ns AS start_ns,
  t.end_ns AS end_ns
FROM turns AS t
LEFT JOIN sent ON sent.trace_id = t.trace_id
