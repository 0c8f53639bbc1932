-- How many turns did each process work on, window by window?
--
-- One row per process and window in which it had a turn. A turn that lasts over several windows counts
-- in each for the part of its time that it spent there.
-- @reads  turns
-- @param  from_ns BIGINT        windows begin here
-- @param  window_ns BIGINT      length of a window
-- @column instance VARCHAR      process
-- @column number BIGINT         number of the window, from 0
-- @column turns DOUBLE          turns worked on
-- @column ended BIGINT          turns that ended in the window
-- @column ended_s DOUBLE        durations of these, added up
WITH pieces AS (
  SELECT instance, start_ns, GREATEST(end_ns, start_ns + 1) AS end_ns,
    unnest(range(
      CAST(floor(CAST(start_ns - $from_ns AS DOUBLE) / $window_ns) AS BIGINT),
      CAST(floor(CAST(GREATEST(end_ns - 1, start_ns) - $from_ns AS DOUBLE) / $window_ns) AS BIGINT) + 1
    )) AS number
  FROM turns
), cut AS (
  SELECT
    instance,
    number,
    CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS duration_s,
    CAST(
      LEAST(end_ns, $from_ns + (number + 1) * $window_ns) - GREATEST(start_ns, $from_ns + number * $window_ns)
      AS DOUBLE
    ) / 1e9 AS inside_s,
    end_ns <= $from_ns + (number + 1) * $window_ns AS is_last
  FROM pieces
)
SELECT
  instance,
  number,
  SUM(inside_s / duration_s) AS turns,
  COUNT(*) FILTER (WHERE is_last) AS ended,
  COALESCE(SUM(CASE WHEN is_last THEN duration_s END), 0e0) AS ended_s
FROM cut
GROUP BY instance, number
ORDER BY instance, number
