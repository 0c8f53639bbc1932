-- Which calls were refused because of money, and for what?
--
-- One row per code of the provider's. Waiting does not help against any of them.
-- @reads  llm_inferences, llm_attempts
-- @column billing_code VARCHAR   the provider's word for it
-- @column provider VARCHAR       provider
-- @column calls BIGINT           calls that failed so
-- @column attempts BIGINT        HTTP attempts refused so; 0 where attempts were not recorded
WITH refused AS (
  SELECT trace_id, call_id, COUNT(*) AS attempts
  FROM llm_attempts
  WHERE billed
  GROUP BY trace_id, call_id
)
SELECT
  i.billing_code AS billing_code,
  i.provider AS provider,
  COUNT(*) AS calls,
  CAST(COALESCE(SUM(r.attempts), 0) AS BIGINT) AS attempts
FROM llm_inferences AS i
LEFT JOIN refused AS r ON r.trace_id = i.trace_id AND r.call_id = i.span_id
WHERE i.billing_code IS NOT NULL
GROUP BY i.billing_code, i.provider
ORDER BY calls DESC, i.billing_code, i.provider
