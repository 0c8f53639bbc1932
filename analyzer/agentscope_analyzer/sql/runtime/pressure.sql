-- How long did threads that were ready to run wait for the interpreter lock?
--
-- One row per process that tells, the most pressed first. A free lock is waited for a tenth of a
-- millisecond; each other thread that runs Python makes it 5 ms more.
-- @reads  metrics
-- @param  from_ns BIGINT = 0   gauges are read from here
-- @param  to_ns BIGINT = 9223372036854775807   to here
-- @column instance VARCHAR     process
-- @column points BIGINT        seconds that were measured
-- @column wait_s DOUBLE        seconds waited for the lock, on average
-- @column most_s DOUBLE        mean of the worst second
-- @column pressed BIGINT       seconds in which it was 2.5 ms or more: half of a thread's turn
SELECT
  instance,
  COUNT(*) AS points,
  AVG(value) AS wait_s,
  MAX(value) AS most_s,
  COUNT(*) FILTER (WHERE value >= 0.0025) AS pressed
FROM metrics
WHERE name = 'agentscope.interpreter.lock_wait' AND value >= 0 AND time_ns BETWEEN $from_ns AND $to_ns
GROUP BY instance
ORDER BY wait_s DESC, instance
