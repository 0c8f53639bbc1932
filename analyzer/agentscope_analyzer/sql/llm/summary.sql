-- How often were models called, and how often were those calls sent again?
--
-- One row.
-- @reads  llm_inferences, llm_attempts
-- @column calls BIGINT               logical calls
-- @column calls_with_attempts BIGINT calls whose HTTP attempts were recorded
-- @column streamed BIGINT            calls that were streamed
-- @column failed BIGINT              calls that failed in the end
-- @column attempts BIGINT            HTTP attempts
-- @column pooled_attempts BIGINT      of those, attempts whose wait for a connection would be seen
-- @column rate_limited BIGINT        attempts answered 429 or 529
-- @column failed_otherwise BIGINT    attempts that failed in any other way
-- @column calls_with_usage BIGINT    calls that say how many tokens they used
-- @column input_tokens BIGINT        tokens read
-- @column output_tokens BIGINT       tokens written
WITH called AS (
  SELECT
    COUNT(*) AS calls,
    COUNT(*) FILTER (WHERE streamed) AS streamed,
    COUNT(*) FILTER (WHERE failed) AS failed,
    COUNT(*) FILTER (WHERE input_tokens IS NOT NULL AND output_tokens IS NOT NULL) AS calls_with_usage,
    CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
    CAST(SUM(output_tokens) AS BIGINT) AS output_tokens
  FROM llm_inferences
), tried AS (
  SELECT
    COUNT(DISTINCT call_id) AS calls_with_attempts,
    COUNT(*) AS attempts,
    COUNT(*) FILTER (WHERE pooled) AS pooled_attempts,
    COUNT(*) FILTER (WHERE http_status IN (429, 529)) AS rate_limited,
    COUNT(*) FILTER (WHERE failed AND COALESCE(http_status, 0) NOT IN (429, 529)) AS failed_otherwise
  FROM llm_attempts
)
SELECT
  calls, calls_with_attempts, streamed, failed, attempts, pooled_attempts, rate_limited, failed_otherwise,
  calls_with_usage, input_tokens, output_tokens
FROM called
CROSS JOIN tried
