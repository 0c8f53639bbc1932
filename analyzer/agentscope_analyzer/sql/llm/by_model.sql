-- Which models were called, how long did they take, what did they read and write?
--
-- One row per provider and model. What nobody recorded is NULL, not 0.
-- @reads  llm_inferences, llm_tries
-- @column provider VARCHAR           provider, '' where unknown
-- @column model VARCHAR              model, '' where unknown
-- @column calls BIGINT               logical calls
-- @column attempts BIGINT            HTTP attempts of the calls of which they are known
-- @column retries BIGINT             of those, all but the first of each call
-- @column rate_limited BIGINT        attempts answered 429 or 529, but for billing
-- @column billed BIGINT              attempts refused for billing
-- @column backoff_s DOUBLE           seconds between a failed attempt and the next
-- @column p50_s DOUBLE               median duration of a call, retries included
-- @column p95_s DOUBLE               95th percentile of it
-- @column ttft_p50_s DOUBLE          median time to the first chunk of streamed calls, retries included
-- @column ttft_p95_s DOUBLE          95th percentile of it
-- @column tokens_per_s DOUBLE        tokens a second from the first chunk to the last, reasoning left out
-- @column input_tokens BIGINT        tokens read, cached ones included
-- @column output_tokens BIGINT       tokens written, reasoning included
-- @column cache_read_tokens BIGINT   of those read, tokens from the provider's cache
-- @column cache_write_tokens BIGINT  of those read, tokens put into the provider's cache
-- @column reasoning_tokens BIGINT    of those written, tokens of reasoning
-- @column calls_without_usage BIGINT calls that did not fail and do not say what they read and wrote
WITH ranked AS (
  SELECT
    provider,
    model,
    CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS duration_s,
    ROW_NUMBER() OVER (PARTITION BY provider, model ORDER BY end_ns - start_ns) - 1 AS i,
    COUNT(*) OVER (PARTITION BY provider, model) - 1 AS last_i
  FROM llm_inferences
), durations AS (
  SELECT
    provider,
    model,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS p50_s,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS p95_s
  FROM ranked
  GROUP BY provider, model
), calls AS (
  SELECT
    *,
    NOT failed AND (input_tokens IS NULL OR (output_tokens IS NULL AND NOT embeds)) AS lacks_usage,
    -- the first chunk brings a token; reasoning came before it
    GREATEST(0, COALESCE(output_tokens, 0) - COALESCE(reasoning_tokens, 0) - 1) AS streamed_tokens,
    CAST(end_ns - start_ns AS DOUBLE) / 1e9 - first_chunk_s AS streaming_s
  FROM llm_inferences
), called AS (
  SELECT
    provider,
    model,
    COUNT(*) AS calls,
    SUM(CASE WHEN streaming_s > 0 AND output_tokens IS NOT NULL THEN streamed_tokens END)
      / NULLIF(SUM(CASE WHEN streaming_s > 0 AND output_tokens IS NOT NULL THEN streaming_s END), 0e0)
      AS tokens_per_s,
    CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
    CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
    CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(SUM(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
    CAST(SUM(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
    COUNT(*) FILTER (WHERE lacks_usage) AS calls_without_usage
  FROM calls
  GROUP BY provider, model
), tried AS (
  SELECT
    provider,
    model,
    CAST(SUM(attempts) AS BIGINT) AS attempts,
    CAST(SUM(attempts - 1) AS BIGINT) AS retries,
    CAST(SUM(CASE WHEN seen > 0 THEN rate_limited END) AS BIGINT) AS rate_limited,
    CAST(SUM(CASE WHEN seen > 0 THEN billed END) AS BIGINT) AS billed,
    SUM(CASE WHEN seen > 0 THEN backoff_s END) AS backoff_s
  FROM llm_tries
  GROUP BY provider, model
), chunks AS (
  SELECT
    provider, model, first_chunk_s,
    ROW_NUMBER() OVER (PARTITION BY provider, model ORDER BY first_chunk_s) - 1 AS i,
    COUNT(*) OVER (PARTITION BY provider, model) - 1 AS last_i
  FROM llm_inferences
  WHERE first_chunk_s >= 0 AND first_chunk_s < 1e6
), first_chunks AS (
  SELECT
    provider,
    model,
    SUM(first_chunk_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS ttft_p50_s,
    SUM(first_chunk_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS ttft_p95_s
  FROM chunks
  GROUP BY provider, model
)
SELECT
  c.provider AS provider,
  c.model AS model,
  c.calls AS calls,
  t.attempts AS attempts,
  t.retries AS retries,
  t.rate_limited AS rate_limited,
  t.billed AS billed,
  t.backoff_s AS backoff_s,
  d.p50_s AS p50_s,
  d.p95_s AS p95_s,
  f.ttft_p50_s AS ttft_p50_s,
  f.ttft_p95_s AS ttft_p95_s,
  c.tokens_per_s AS tokens_per_s,
  c.input_tokens AS input_tokens,
  c.output_tokens AS output_tokens,
  c.cache_read_tokens AS cache_read_tokens,
  c.cache_write_tokens AS cache_write_tokens,
  c.reasoning_tokens AS reasoning_tokens,
  c.calls_without_usage AS calls_without_usage
FROM called AS c
JOIN durations AS d ON d.provider = c.provider AND d.model = c.model
JOIN tried AS t ON t.provider = c.provider AND t.model = c.model
LEFT JOIN first_chunks AS f ON f.provider = c.provider AND f.model = c.model
ORDER BY c.calls DESC, c.provider, c.model
