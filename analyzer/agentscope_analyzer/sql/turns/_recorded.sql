-- The turns of a run as their spans tell of them, before anything is attributed.
--
-- Marked spans, and SERVER spans with the service and name of one; a span that came twice is one.
-- Turns within turns are still among them, and a run without marks has none here.
-- @reads  spans
-- @column trace_id VARCHAR   trace
-- @column turn_id VARCHAR    span that is the turn
-- @column name VARCHAR       its name
-- @column session VARCHAR    its session; NULL where the span does not name one
-- @column start_ns BIGINT    its start
-- @column end_ns BIGINT      its end
-- @column error BOOLEAN      it failed
WITH turn_names AS (
  SELECT DISTINCT service AS turn_service, name AS turn_name FROM spans WHERE is_turn AND kind = 'SERVER'
), copies AS (
  SELECT
    trace_id,
    span_id,
    name,
    session,
    start_ns,
    end_ns,
    COALESCE(status = 'ERROR' OR outcome = 'error' OR http_status >= 400, status = 'ERROR') AS error,
    ROW_NUMBER() OVER (PARTITION BY trace_id, span_id ORDER BY start_ns, end_ns DESC) AS copy
  FROM spans
  LEFT JOIN turn_names ON turn_service = service AND turn_name = name
  WHERE runtime_event IS NULL AND COALESCE(is_turn, kind = 'SERVER' AND turn_name IS NOT NULL)
)
SELECT trace_id, span_id AS turn_id, name, session, start_ns, end_ns, error FROM copies WHERE copy = 1
