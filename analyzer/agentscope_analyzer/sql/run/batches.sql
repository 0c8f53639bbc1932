-- How long did turns take, one after the other?
--
-- Turns in the order of their start, so many at a time, as output analysis of simulations takes them
-- (MSER-5, White 1997, has five). Turns that never ended, or took no time, are left out.
-- @reads  turns
-- @param  from_ns BIGINT           start
-- @param  to_ns BIGINT             end
-- @param  size BIGINT = 5          turns of a batch
-- @column batch BIGINT             number, from 0; the last one may be smaller
-- @column turns BIGINT             turns
-- @column start_ns BIGINT          start of the first of them
-- @column log_s DOUBLE             mean of the natural logarithms of their durations in seconds
WITH ordered AS (
  SELECT
    start_ns,
    LN(duration_s) AS log_s,
    ROW_NUMBER() OVER (ORDER BY start_ns, turn_id) - 1 AS i
  FROM turns
  WHERE start_ns >= $from_ns AND start_ns < $to_ns AND duration_s > 0
    AND COALESCE(outcome, '') <> 'open'
)
SELECT
  CAST(floor(i / $size) AS BIGINT) AS batch,
  COUNT(*) AS turns,
  MIN(start_ns) AS start_ns,
  AVG(log_s) AS log_s
FROM ordered
GROUP BY floor(i / $size)
ORDER BY batch
