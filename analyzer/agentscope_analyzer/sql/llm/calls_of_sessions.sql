-- When did which session call which model?
--
-- One row per logical call within a turn of a known session. Retries are not demand, nor are calls
-- that were refused for billing.
-- @reads  llm_inferences, turns_sessions
-- @column provider VARCHAR        provider
-- @column model VARCHAR           model
-- @column session VARCHAR         session
-- @column start_ns BIGINT         start of the call
-- @column input_tokens BIGINT     tokens read; NULL where unknown
-- @column output_tokens BIGINT    tokens written; NULL where unknown
SELECT
  i.provider AS provider,
  i.model AS model,
  t.session AS session,
  i.start_ns AS start_ns,
  i.input_tokens AS input_tokens,
  i.output_tokens AS output_tokens
FROM llm_inferences AS i
JOIN turns_sessions AS t
  ON t.trace_id = i.trace_id AND i.start_ns >= t.start_ns AND i.start_ns <= t.end_ns
WHERE t.session IS NOT NULL AND i.billing_code IS NULL
ORDER BY i.start_ns, i.span_id
