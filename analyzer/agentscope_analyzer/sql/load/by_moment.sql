-- How long did requests take that were due in each moment of the run?
--
-- One row per window of time and duration; durations are counted in bins that are 5 % wide.
-- @reads  load
-- @param  from_s DOUBLE        start, epoch seconds of the load generator
-- @param  window_s DOUBLE      length of a window
-- @param  windows BIGINT       how many there are
-- @column slot BIGINT          the window, from 0
-- @column bin BIGINT           a duration's logarithm to the base of 1.05, rounded down
-- @column requests BIGINT      requests
WITH numbered AS (
  SELECT COUNT(turn) AS n FROM load
), lines AS (
  SELECT DISTINCT trace_id, t_intended, t_start, duration_s, session, turn
  FROM load
  WHERE t_start BETWEEN 0 AND 9e9 AND duration_s BETWEEN 0 AND 1e7
), placed AS (
  SELECT
    CAST(floor(LEAST(GREATEST(
      (COALESCE(l.t_intended, l.t_start) - $from_s) / $window_s, -1e0), 1e9)) AS BIGINT) AS slot,
    CAST(floor(LN(GREATEST(l.duration_s, 1e-4)) / LN(1.05e0)) AS BIGINT) AS bin
  FROM lines AS l
  CROSS JOIN numbered
  WHERE numbered.n = 0 OR l.turn IS NOT NULL
)
SELECT slot, bin, COUNT(*) AS requests
FROM placed
WHERE slot >= 0 AND slot < $windows
GROUP BY slot, bin
ORDER BY slot, bin
