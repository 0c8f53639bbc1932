-- Which turns did a run have, of which session, and what did each ask of models?
--
-- One row per turn, by start. Calls and tokens are those of the logical calls that began within it.
-- @reads  turns, turns_sessions, llm_inferences
-- @column turn_id VARCHAR        turn
-- @column session VARCHAR        its session; NULL where neither side names one
-- @column route VARCHAR          route
-- @column start_ns BIGINT        start
-- @column end_ns BIGINT          end
-- @column duration_s DOUBLE      duration
-- @column whole BOOLEAN          it did not fail, was not given up and ran to its end
-- @column calls BIGINT           calls to models
-- @column input_tokens BIGINT    tokens they read; NULL where none says
-- @column output_tokens BIGINT   tokens they wrote; NULL where none says
WITH used AS (
  SELECT
    t.turn_id AS turn_id,
    COUNT(*) AS calls,
    CAST(SUM(i.input_tokens) AS BIGINT) AS input_tokens,
    CAST(SUM(i.output_tokens) AS BIGINT) AS output_tokens
  FROM turns AS t
  JOIN llm_inferences AS i
    ON i.trace_id = t.trace_id AND i.start_ns >= t.start_ns AND i.start_ns <= t.end_ns
  GROUP BY t.turn_id
)
SELECT
  t.turn_id AS turn_id,
  s.session AS session,
  COALESCE(t.route, '') AS route,
  t.start_ns AS start_ns,
  t.end_ns AS end_ns,
  t.duration_s AS duration_s,
  NOT COALESCE(t.error, FALSE) AND COALESCE(t.outcome, 'ok') = 'ok' AS whole,
  COALESCE(used.calls, 0) AS calls,
  used.input_tokens AS input_tokens,
  used.output_tokens AS output_tokens
FROM turns AS t
JOIN turns_sessions AS s ON s.turn_id = t.turn_id
LEFT JOIN used ON used.turn_id = t.turn_id
ORDER BY t.start_ns, t.turn_id
