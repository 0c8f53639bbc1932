-- Which code stopped the event loop or the interpreter?
--
-- One row per kind of event and blocking line, cut to a stretch of time: what a process did before
-- its first turn held up nobody.
-- @reads  spans
-- @param  from_ns BIGINT = 0   events are read from here
-- @param  to_ns BIGINT = 9223372036854775807   to here
-- @column event VARCHAR         loop_blocked or gc_pause
-- @column code_function VARCHAR function, '' where unknown
-- @column code_file VARCHAR     file, '' where unknown
-- @column code_line INTEGER     line; NULL where unknown
-- @column instances BIGINT      processes in which it happened
-- @column blocks BIGINT         times
-- @column wall_s DOUBLE         seconds of all of them
-- @column longest_s DOUBLE      the longest
WITH events AS (
  SELECT
    runtime_event,
    code_function,
    code_file,
    code_line,
    instance,
    GREATEST(start_ns, $from_ns) AS start_ns,
    LEAST(end_ns, $to_ns) AS end_ns
  FROM spans
  WHERE runtime_event IS NOT NULL AND end_ns > $from_ns AND start_ns < $to_ns
)
SELECT
  runtime_event AS event,
  COALESCE(code_function, '') AS code_function,
  COALESCE(code_file, '') AS code_file,
  code_line,
  COUNT(DISTINCT instance) AS instances,
  COUNT(*) AS blocks,
  CAST(SUM(end_ns - start_ns) AS DOUBLE) / 1e9 AS wall_s,
  CAST(MAX(end_ns - start_ns) AS DOUBLE) / 1e9 AS longest_s
FROM events
GROUP BY runtime_event, COALESCE(code_function, ''), COALESCE(code_file, ''), code_line
ORDER BY wall_s DESC, code_function, code_line
