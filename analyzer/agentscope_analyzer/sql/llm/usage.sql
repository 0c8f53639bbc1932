-- What did calls of each model read and write, in parts that have one price?
--
-- One row per provider, model, model asked for, half an hour, and thousand of input tokens from 32 000 on: list prices
-- change with the time of day and with the length of the input, and no tier begins below that.
-- Calls that do not say their usage are left out.
-- @reads  llm_inferences
-- @column provider VARCHAR           provider, '' where unknown
-- @column model VARCHAR              model, '' where unknown
-- @column asked_model VARCHAR        model asked for, where the one that answered has no price
-- @column start_ns BIGINT            start of the first call of the part
-- @column calls BIGINT               calls of the part
-- @column input_tokens BIGINT        tokens read, cached ones included
-- @column output_tokens BIGINT       tokens written, reasoning included
-- @column cache_read_tokens BIGINT   of those read, tokens from the provider's cache
-- @column cache_write_tokens BIGINT  of those read, tokens put into the provider's cache
WITH said AS (
  SELECT
    *,
    start_ns - start_ns % 1800000000000 AS half_hour_ns,
    CASE WHEN input_tokens < 32000 THEN 0 ELSE input_tokens - input_tokens % 1000 END AS size_tokens
  FROM llm_inferences
  WHERE input_tokens >= 0 AND COALESCE(output_tokens, 0) >= 0
)
SELECT
  provider,
  model,
  asked_model,
  MIN(start_ns) AS start_ns,
  COUNT(*) AS calls,
  CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
  CAST(SUM(COALESCE(output_tokens, 0)) AS BIGINT) AS output_tokens,
  CAST(SUM(COALESCE(cache_read_tokens, 0)) AS BIGINT) AS cache_read_tokens,
  CAST(SUM(COALESCE(cache_write_tokens, 0)) AS BIGINT) AS cache_write_tokens
FROM said
GROUP BY provider, model, asked_model, half_hour_ns, size_tokens
ORDER BY provider, model, asked_model, half_hour_ns, size_tokens
