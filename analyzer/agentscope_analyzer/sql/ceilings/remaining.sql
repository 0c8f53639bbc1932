-- What was left of a quota after each answer, and what had the call used?
--
-- One row per HTTP attempt that was answered with a model's output and its usage, in the order in
-- which they were sent; the latest ones where there are very many.
-- @reads  llm_attempts, llm_inferences
-- @param  provider VARCHAR            provider
-- @param  model VARCHAR               model
-- @param  remaining_header VARCHAR    attribute of the header that says what is left
-- @param  most BIGINT = 5000          most rows
-- @column start_ns BIGINT             start of the attempt
-- @column remaining VARCHAR           what was left, as it was said
-- @column input_tokens BIGINT         tokens read, cached ones included
-- @column cached_tokens BIGINT        of these, tokens from the provider's cache
-- @column output_tokens BIGINT        tokens written
WITH said AS (
  SELECT
    a.start_ns AS start_ns,
    a.call_id AS call_id,
    a.attrs[$remaining_header] AS remaining,
    i.input_tokens AS input_tokens,
    COALESCE(i.cache_read_tokens, 0) AS cached_tokens,
    i.output_tokens AS output_tokens
  FROM llm_attempts AS a
  JOIN llm_inferences AS i ON i.trace_id = a.trace_id AND i.span_id = a.call_id
  WHERE a.provider = $provider AND a.model = $model AND NOT a.failed
    AND a.attrs[$remaining_header] IS NOT NULL
    AND i.input_tokens IS NOT NULL AND i.output_tokens IS NOT NULL
), latest AS (
  SELECT * FROM said ORDER BY start_ns DESC, call_id LIMIT $most
)
SELECT start_ns, remaining, input_tokens, cached_tokens, output_tokens
FROM latest
ORDER BY start_ns, call_id
