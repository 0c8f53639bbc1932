-- How many turns began in each window of time, and how long did they take?
--
-- One row per window in which a turn began that did end.
-- @reads  turns
-- @param  from_ns BIGINT           start
-- @param  to_ns BIGINT             end
-- @param  window_ns BIGINT         length of a window
-- @column slot BIGINT              window, from 0
-- @column turns BIGINT             turns that began in it
-- @column log_s DOUBLE             mean of the natural logarithms of their durations in seconds
SELECT
  CAST(floor((start_ns - $from_ns) / $window_ns) AS BIGINT) AS slot,
  COUNT(*) AS turns,
  AVG(LN(duration_s)) AS log_s
FROM turns
WHERE start_ns >= $from_ns AND start_ns < $to_ns AND duration_s > 0
  AND COALESCE(outcome, '') <> 'open'
GROUP BY floor((start_ns - $from_ns) / $window_ns)
ORDER BY slot
