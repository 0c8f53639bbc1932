-- Which code stopped the event loop or the interpreter?
--
-- One row per kind of event and blocking line, cut to a stretch of time: what a process did before
-- its first turn held up nobody.
-- @reads  spans
-- @param  from_ns BIGINT = 0   events are read from here
-- @param  to_ns BIGINT = 9223372036854775807   to here
-- @column event VARCHAR         loop_blocked, gc_pause or cpu_throttled
-- @column code_function VARCHAR function, '' where unknown
-- @column code_file VARCHAR     file, '' where unknown
-- @column code_line INTEGER     line; NULL where unknown
-- @column callee VARCHAR        what it was calling, where that is Python too; '' where unknown
-- @column instances BIGINT      processes in which it happened
-- @column blocks BIGINT         times
-- @column wall_s DOUBLE         seconds of all of them
-- @column processor_s DOUBLE    of these, seconds in which the machine had no processor free
-- @column longest_s DOUBLE      the longest
WITH events AS (
  SELECT
    runtime_event,
    code_function,
    code_file,
    code_line,
    attrs['agentscope.code.callee'] AS callee,
    instance,
    CAST(LEAST(end_ns, $to_ns) - GREATEST(start_ns, $from_ns) AS DOUBLE) / 1e9 AS wall_s,
    TRY_CAST(attrs['agentscope.runtime.processor_wait'] AS DOUBLE) AS processor_s
  FROM spans
  WHERE runtime_event IN ('loop_blocked', 'gc_pause', 'cpu_throttled')
    AND end_ns > $from_ns AND start_ns < $to_ns
)
SELECT
  runtime_event AS event,
  COALESCE(code_function, '') AS code_function,
  COALESCE(code_file, '') AS code_file,
  code_line,
  COALESCE(MAX(callee), '') AS callee,
  COUNT(DISTINCT instance) AS instances,
  COUNT(*) AS blocks,
  SUM(wall_s) AS wall_s,
  SUM(LEAST(GREATEST(COALESCE(processor_s, 0e0), 0e0), wall_s)) AS processor_s,
  MAX(wall_s) AS longest_s
FROM events
GROUP BY runtime_event, COALESCE(code_function, ''), COALESCE(code_file, ''), code_line
ORDER BY wall_s DESC, code_function, code_line
