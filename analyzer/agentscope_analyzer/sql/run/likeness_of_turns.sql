-- Are turns of one session more alike than turns of different sessions?
--
-- One row per measure: sums of squares of the logarithms of what turns ask for, between sessions and
-- within them, for an analysis of variance.
-- @reads  turns_sessions, llm_inferences
-- @param  since_ns BIGINT = 0   turns that begin before are left out
-- @column measure VARCHAR     calls (of models, plus one) or seconds
-- @column sessions BIGINT     sessions
-- @column turns BIGINT        their turns
-- @column squares BIGINT      turns of a session squared, added up
-- @column between_ss DOUBLE   sum of squares between sessions
-- @column within_ss DOUBLE    sum of squares within them
WITH made AS (
  SELECT t.turn_id AS turn_id, COUNT(*) AS calls
  FROM turns_sessions AS t
  JOIN llm_inferences AS i ON i.trace_id = t.trace_id
  WHERE i.start_ns >= t.start_ns AND i.start_ns <= t.end_ns AND t.start_ns >= $since_ns
  GROUP BY t.turn_id
), asked AS (
  SELECT 'calls' AS measure, t.session AS session, LN(1e0 + COALESCE(m.calls, 0)) AS x
  FROM turns_sessions AS t
  LEFT JOIN made AS m ON m.turn_id = t.turn_id
  WHERE t.session IS NOT NULL AND t.start_ns >= $since_ns
  UNION ALL
  SELECT 'seconds' AS measure, session, LN(CAST(end_ns - start_ns AS DOUBLE) / 1e9) AS x
  FROM turns_sessions
  WHERE session IS NOT NULL AND end_ns > start_ns AND start_ns >= $since_ns
), per_session AS (
  SELECT measure, session, COUNT(*) AS n, AVG(x) AS mean, var_pop(x) * COUNT(*) AS within_ss
  FROM asked
  GROUP BY measure, session
)
SELECT
  measure,
  COUNT(*) AS sessions,
  CAST(SUM(n) AS BIGINT) AS turns,
  CAST(SUM(n * n) AS BIGINT) AS squares,
  GREATEST(SUM(n * mean * mean) - SUM(n * mean) * SUM(n * mean) / SUM(n), 0e0) AS between_ss,
  SUM(within_ss) AS within_ss
FROM per_session
GROUP BY measure
ORDER BY measure
