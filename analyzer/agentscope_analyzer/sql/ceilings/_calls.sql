-- Logical calls of models by known sessions, with what each of them asked for.
--
-- A retry is the same demand once more, and what was refused for billing never came to the quota. A
-- call that failed says no usage: it is taken to have asked for as much as the others of its model do
-- on average.
-- @reads  llm_inferences, turns_sessions
-- @column provider VARCHAR        provider
-- @column model VARCHAR           model
-- @column session VARCHAR         session
-- @column start_ns BIGINT         start of the call
-- @column input_tokens DOUBLE     tokens read, cached ones included; NULL where unknown
-- @column cached_tokens DOUBLE    of these, tokens from the provider's cache, 0 where none are told
-- @column output_tokens DOUBLE    tokens written; NULL where unknown
-- @column told BOOLEAN            the call itself says its usage
WITH asked AS (
  SELECT
    i.provider AS provider,
    i.model AS model,
    t.session AS session,
    i.start_ns AS start_ns,
    CAST(i.input_tokens AS DOUBLE) AS input_tokens,
    CAST(LEAST(COALESCE(i.cache_read_tokens, 0), i.input_tokens) AS DOUBLE) AS cached_tokens,
    CAST(i.output_tokens AS DOUBLE) AS output_tokens,
    i.failed AS failed
  FROM llm_inferences AS i
  JOIN turns_sessions AS t
    ON t.trace_id = i.trace_id AND i.start_ns >= t.start_ns AND i.start_ns <= t.end_ns
  WHERE t.session IS NOT NULL AND i.billing_code IS NULL
), usual AS (
  SELECT
    provider,
    model,
    AVG(input_tokens) AS input_tokens,
    AVG(cached_tokens) AS cached_tokens,
    AVG(output_tokens) AS output_tokens
  FROM asked
  GROUP BY provider, model
)
SELECT
  a.provider AS provider,
  a.model AS model,
  a.session AS session,
  a.start_ns AS start_ns,
  CASE WHEN a.input_tokens IS NULL AND a.failed THEN u.input_tokens ELSE a.input_tokens END AS input_tokens,
  COALESCE(CASE WHEN a.input_tokens IS NULL AND a.failed THEN u.cached_tokens ELSE a.cached_tokens END, 0e0)
    AS cached_tokens,
  CASE WHEN a.output_tokens IS NULL AND a.failed THEN u.output_tokens ELSE a.output_tokens END
    AS output_tokens,
  a.input_tokens IS NOT NULL AND a.output_tokens IS NOT NULL AS told
FROM asked AS a
JOIN usual AS u ON u.provider = a.provider AND u.model = a.model
