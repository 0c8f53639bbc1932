-- Are there sessions of several kinds, so that a mean session stands for none of them?
--
-- Sessions by what one of their turns asks for on average: model calls, and seconds. One row per bin,
-- each 10 % wide. Sessions that saw nothing but a warm-up would look like a kind of their own.
-- @reads  turns_sessions, llm_inferences
-- @param  since_ns BIGINT = 0   turns that begin before are left out
-- @column measure VARCHAR     calls or seconds
-- @column bin BIGINT          the mean's logarithm to the base of 1.1, rounded down
-- @column sessions BIGINT     sessions
-- @column turns BIGINT        their turns
-- @column amount DOUBLE       calls or seconds of all those turns
WITH made AS (
  SELECT t.turn_id AS turn_id, COUNT(*) AS calls
  FROM turns_sessions AS t
  JOIN llm_inferences AS i ON i.trace_id = t.trace_id
  WHERE i.start_ns >= t.start_ns AND i.start_ns <= t.end_ns AND t.start_ns >= $since_ns
  GROUP BY t.turn_id
), asked AS (
  SELECT
    t.session AS session,
    COUNT(*) AS turns,
    CAST(COALESCE(SUM(m.calls), 0) AS DOUBLE) AS calls,
    CAST(SUM(t.end_ns - t.start_ns) AS DOUBLE) / 1e9 AS seconds
  FROM turns_sessions AS t
  LEFT JOIN made AS m ON m.turn_id = t.turn_id
  WHERE t.session IS NOT NULL AND t.start_ns >= $since_ns
  GROUP BY t.session
), measured AS (
  SELECT 'calls' AS measure, turns, calls AS amount FROM asked
  UNION ALL
  SELECT 'seconds' AS measure, turns, seconds AS amount FROM asked
)
SELECT
  measure,
  CAST(floor(LN(amount / turns) / LN(1.1e0)) AS BIGINT) AS bin,
  COUNT(*) AS sessions,
  CAST(SUM(turns) AS BIGINT) AS turns,
  SUM(amount) AS amount
FROM measured
WHERE amount > 0
GROUP BY measure, floor(LN(amount / turns) / LN(1.1e0))
ORDER BY measure, bin
