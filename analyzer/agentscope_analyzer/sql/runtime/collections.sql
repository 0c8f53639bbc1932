-- In which code did the garbage collector stop the process?
--
-- One row per function and line in which the event loop stood while it collected; pauses outside of a
-- block of the loop are in the row without one. A pause is taken to be in a block that was running
-- when it began, and began a millisecond after it at most.
-- @reads  spans
-- @param  from_ns BIGINT = 0   pauses are read from here
-- @param  to_ns BIGINT = 9223372036854775807   to here
-- @column code_function VARCHAR function, '' where unknown
-- @column code_file VARCHAR     file, '' where unknown
-- @column code_line INTEGER     line; NULL where unknown
-- @column pauses BIGINT         pauses
-- @column full_pauses BIGINT    of these, collections of the oldest generation
-- @column wall_s DOUBLE         seconds of all of them
WITH blocks AS (
  SELECT
    instance, start_ns, end_ns, code_function, code_file, code_line,
    ROW_NUMBER() OVER (ORDER BY instance, start_ns, end_ns, span_id) AS number
  FROM spans
  WHERE runtime_event = 'loop_blocked'
), pauses AS (
  SELECT instance, start_ns, end_ns, attrs['agentscope.gc.generation'] AS generation
  FROM spans
  WHERE runtime_event = 'gc_pause' AND end_ns > $from_ns AND start_ns < $to_ns
), marks AS (
  SELECT instance, start_ns - 1000000 AS at_ns, 0 AS is_pause, number,
    CAST(NULL AS BIGINT) AS start_ns, CAST(NULL AS BIGINT) AS end_ns, CAST(NULL AS VARCHAR) AS generation
  FROM blocks
  UNION ALL
  SELECT instance, start_ns AS at_ns, 1 AS is_pause, CAST(NULL AS BIGINT) AS number, start_ns, end_ns, generation
  FROM pauses
), placed AS (
  SELECT
    is_pause, start_ns, end_ns, generation,
    MAX(number) OVER (
      PARTITION BY instance ORDER BY at_ns, is_pause ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM marks
), found AS (
  SELECT
    COALESCE(b.code_function, '') AS code_function,
    COALESCE(b.code_file, '') AS code_file,
    b.code_line AS code_line,
    p.generation AS generation,
    CAST(p.end_ns - p.start_ns AS DOUBLE) / 1e9 AS wall_s
  FROM placed AS p
  LEFT JOIN blocks AS b ON b.number = p.number AND b.end_ns > p.start_ns
  WHERE p.is_pause = 1
)
SELECT
  code_function,
  code_file,
  code_line,
  COUNT(*) AS pauses,
  COUNT(*) FILTER (WHERE generation = '2') AS full_pauses,
  SUM(wall_s) AS wall_s
FROM found
GROUP BY code_function, code_file, code_line
ORDER BY wall_s DESC, code_function, code_line
