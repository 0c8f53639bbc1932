-- How many calls, of how many sessions, say what a ceiling needs to know?
--
-- One row per provider and model, over the whole run.
-- @reads  ceilings_calls
-- @column provider VARCHAR           provider
-- @column model VARCHAR              model
-- @column calls BIGINT               calls of known sessions
-- @column sessions BIGINT            sessions that made them
-- @column with_input BIGINT          calls whose tokens read are known
-- @column with_output BIGINT         calls whose tokens written are known
-- @column with_both BIGINT           calls of which both are known
-- @column untold BIGINT              calls that failed and are taken to be like the others
-- @column input_tokens DOUBLE        tokens read, cached ones included
-- @column cached_tokens DOUBLE       of these, tokens from the provider's cache
-- @column output_tokens DOUBLE       tokens written
SELECT
  provider,
  model,
  COUNT(*) AS calls,
  COUNT(DISTINCT session) AS sessions,
  COUNT(input_tokens) AS with_input,
  COUNT(output_tokens) AS with_output,
  COUNT(*) FILTER (WHERE input_tokens IS NOT NULL AND output_tokens IS NOT NULL) AS with_both,
  COUNT(*) FILTER (WHERE NOT told AND input_tokens IS NOT NULL AND output_tokens IS NOT NULL) AS untold,
  COALESCE(SUM(input_tokens), 0e0) AS input_tokens,
  SUM(cached_tokens) AS cached_tokens,
  COALESCE(SUM(output_tokens), 0e0) AS output_tokens
FROM ceilings_calls
GROUP BY provider, model
ORDER BY provider, model
