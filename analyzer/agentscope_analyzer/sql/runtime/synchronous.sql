-- Which calls were made synchronously, so that the event loop stood still for as long as they took?
--
-- A call that began and ended within one block of its process's loop did not let the loop run. One row
-- per name of a call, with those that did let it run beside it: a call made in a worker thread may look
-- synchronous now and then, one in a coroutine always does.
-- @reads  spans
-- @column name VARCHAR         the call
-- @column calls BIGINT         calls of that name
-- @column held BIGINT          of these, calls within one block
-- @column wall_s DOUBLE        seconds of the latter
WITH marks AS (
  SELECT instance, start_ns AS at_ns, 0 AS is_call, end_ns AS block_end_ns,
    CAST(NULL AS BIGINT) AS end_ns, CAST(NULL AS VARCHAR) AS name
  FROM spans
  WHERE runtime_event = 'loop_blocked'
  UNION ALL
  SELECT instance, start_ns AS at_ns, 1 AS is_call, CAST(NULL AS BIGINT) AS block_end_ns, end_ns, name
  FROM spans
  WHERE kind = 'CLIENT' AND end_ns - start_ns >= 5000000 AND (operation IS NOT NULL OR db_system IS NOT NULL
    OR http_method IS NOT NULL)
    -- An attempt goes by the name of the call that made it.
    AND NOT EXISTS (
      SELECT 1 FROM spans AS call
      WHERE call.trace_id = spans.trace_id AND call.span_id = spans.parent_id AND call.operation IS NOT NULL
    )
), placed AS (
  SELECT
    is_call, name, at_ns, end_ns,
    COALESCE(MAX(block_end_ns) OVER (
      PARTITION BY instance ORDER BY at_ns, is_call ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) >= end_ns, FALSE) AS held
  FROM marks
)
SELECT
  name,
  COUNT(*) AS calls,
  COUNT(*) FILTER (WHERE held) AS held,
  COALESCE(CAST(SUM(CASE WHEN held THEN end_ns - at_ns END) AS DOUBLE) / 1e9, 0e0) AS wall_s
FROM placed
WHERE is_call = 1
GROUP BY name
ORDER BY wall_s DESC, calls DESC, name
