-- How often were models called, and how often were those calls sent again?
--
-- One row. Of calls without recorded attempts only those are counted as sent again whose own span
-- says so; refusals and back-off are those of recorded attempts.
-- @reads  llm_inferences, llm_tries
-- @column calls BIGINT               logical calls
-- @column calls_with_attempts BIGINT calls whose HTTP attempts were recorded
-- @column calls_counted BIGINT       calls of which it is known how often they were sent
-- @column streamed BIGINT            calls that were streamed
-- @column failed BIGINT              calls that failed in the end
-- @column attempts BIGINT            HTTP attempts of the calls counted
-- @column attempts_seen BIGINT       of those, attempts that were recorded
-- @column pooled_attempts BIGINT     attempts whose wait for a connection would be seen
-- @column rate_limited BIGINT        attempts answered 429 or 529, but for billing
-- @column billed BIGINT              attempts refused for billing
-- @column failed_otherwise BIGINT    attempts that failed in any other way, billing included
-- @column backoff_s DOUBLE           seconds between a failed attempt and the next
-- @column calls_with_usage BIGINT    calls that say how many tokens they used
-- @column calls_without_usage BIGINT calls that did not fail and do not say so
-- @column input_tokens BIGINT        tokens read, cached ones included; NULL where no call says so
-- @column output_tokens BIGINT       tokens written, reasoning included
-- @column cache_read_tokens BIGINT   of those read, tokens from the provider's cache
-- @column cache_write_tokens BIGINT  of those read, tokens put into the provider's cache
-- @column reasoning_tokens BIGINT    of those written, tokens of reasoning
WITH called AS (
  SELECT
    *,
    input_tokens IS NOT NULL AND (embeds OR output_tokens IS NOT NULL) AS has_usage
  FROM llm_inferences
), totals AS (
  SELECT
    COUNT(*) AS calls,
    COUNT(*) FILTER (WHERE streamed) AS streamed,
    COUNT(*) FILTER (WHERE failed) AS failed,
    COUNT(*) FILTER (WHERE has_usage) AS calls_with_usage,
    COUNT(*) FILTER (WHERE NOT has_usage AND NOT failed) AS calls_without_usage,
    CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
    CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
    CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(SUM(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
    CAST(SUM(reasoning_tokens) AS BIGINT) AS reasoning_tokens
  FROM called
), tried AS (
  SELECT
    COUNT(*) FILTER (WHERE seen > 0) AS calls_with_attempts,
    COUNT(attempts) AS calls_counted,
    CAST(COALESCE(SUM(attempts), 0) AS BIGINT) AS attempts,
    CAST(COALESCE(SUM(seen), 0) AS BIGINT) AS attempts_seen,
    CAST(COALESCE(SUM(pooled), 0) AS BIGINT) AS pooled_attempts,
    CAST(COALESCE(SUM(rate_limited), 0) AS BIGINT) AS rate_limited,
    CAST(COALESCE(SUM(billed), 0) AS BIGINT) AS billed,
    CAST(COALESCE(SUM(failed - rate_limited), 0) AS BIGINT) AS failed_otherwise,
    COALESCE(SUM(backoff_s), 0e0) AS backoff_s
  FROM llm_tries
)
SELECT
  calls, calls_with_attempts, calls_counted, streamed, failed, attempts, attempts_seen, pooled_attempts,
  rate_limited, billed, failed_otherwise, backoff_s, calls_with_usage, calls_without_usage, input_tokens,
  output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens
FROM totals
CROSS JOIN tried
