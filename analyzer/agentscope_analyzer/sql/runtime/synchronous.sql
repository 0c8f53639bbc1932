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
WITH blocks AS (
  SELECT instance, start_ns, end_ns FROM spans WHERE runtime_event = 'loop_blocked'
), longest AS (     -- no call within one block takes longer
  SELECT MAX(end_ns - start_ns) AS longest_ns FROM blocks
), calls AS (
  SELECT s.instance AS instance, s.name AS name, s.start_ns AS start_ns, s.end_ns AS end_ns,
    COALESCE(s.end_ns - s.start_ns <= (SELECT longest_ns FROM longest), FALSE) AS may_be_held
  FROM spans AS s
  WHERE s.kind = 'CLIENT' AND s.end_ns - s.start_ns >= 5000000
    AND (s.operation IS NOT NULL OR s.db_system IS NOT NULL OR s.http_method IS NOT NULL)
    -- An attempt goes by the name of the call that made it.
    AND NOT EXISTS (
      SELECT 1 FROM spans AS call
      WHERE call.operation IS NOT NULL AND call.trace_id = s.trace_id AND call.span_id = s.parent_id
    )
), marks AS (
  SELECT instance, start_ns AS at_ns, 0 AS is_call, end_ns AS block_end_ns,
    CAST(NULL AS BIGINT) AS end_ns, CAST(NULL AS VARCHAR) AS name
  FROM blocks
  UNION ALL
  SELECT instance, start_ns AS at_ns, 1 AS is_call, CAST(NULL AS BIGINT) AS block_end_ns, end_ns, name
  FROM calls
  WHERE may_be_held
), placed AS (
  SELECT
    is_call, name, at_ns, end_ns,
    COALESCE(MAX(block_end_ns) OVER (
      PARTITION BY instance ORDER BY at_ns, is_call ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) >= end_ns, FALSE) AS held
  FROM marks
), held AS (
  SELECT name, COUNT(*) AS calls, SUM(end_ns - at_ns) AS wall_ns
  FROM placed
  WHERE is_call = 1 AND held
  GROUP BY name
), named AS (
  SELECT name, COUNT(*) AS calls FROM calls GROUP BY name
)
SELECT
  n.name AS name,
  n.calls AS calls,
  COALESCE(h.calls, 0) AS held,
  COALESCE(CAST(h.wall_ns AS DOUBLE) / 1e9, 0e0) AS wall_s
FROM named AS n
LEFT JOIN held AS h ON h.name = n.name
ORDER BY wall_s DESC, n.calls DESC, n.name
