-- Which models were called, how long did they take?
--
-- One row per provider and model.
-- @reads  llm_inferences, llm_attempts
-- @column provider VARCHAR        provider, '' where unknown
-- @column model VARCHAR           model, '' where unknown
-- @column calls BIGINT            logical calls
-- @column attempts BIGINT         HTTP attempts
-- @column rate_limited BIGINT     attempts answered 429 or 529
-- @column input_tokens BIGINT     tokens read
-- @column output_tokens BIGINT    tokens written
-- @column p50_s DOUBLE            median duration of a call, retries included
-- @column p95_s DOUBLE            95th percentile of it
-- @column ttft_p50_s DOUBLE       median time to the first chunk of streamed calls
WITH ranked AS (
  SELECT
    provider, model, input_tokens, output_tokens,
    CAST(end_ns - start_ns AS DOUBLE) / 1e9 AS duration_s,
    ROW_NUMBER() OVER (PARTITION BY provider, model ORDER BY end_ns - start_ns) - 1 AS i,
    COUNT(*) OVER (PARTITION BY provider, model) - 1 AS last_i
  FROM llm_inferences
), called AS (
  SELECT
    provider,
    model,
    COUNT(*) AS calls,
    CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
    CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS p50_s,
    SUM(duration_s * GREATEST(0e0, 1e0 - ABS(i - 0.95e0 * last_i))) AS p95_s
  FROM ranked
  GROUP BY provider, model
), chunks AS (
  SELECT
    provider, model, first_chunk_s,
    ROW_NUMBER() OVER (PARTITION BY provider, model ORDER BY first_chunk_s) - 1 AS i,
    COUNT(*) OVER (PARTITION BY provider, model) - 1 AS last_i
  FROM llm_inferences
  WHERE first_chunk_s IS NOT NULL
), first_chunks AS (
  SELECT
    provider,
    model,
    SUM(first_chunk_s * GREATEST(0e0, 1e0 - ABS(i - 0.50e0 * last_i))) AS ttft_p50_s
  FROM chunks
  GROUP BY provider, model
), tried AS (
  SELECT
    provider,
    model,
    COUNT(*) AS attempts,
    COUNT(*) FILTER (WHERE http_status IN (429, 529)) AS rate_limited
  FROM llm_attempts
  GROUP BY provider, model
)
SELECT
  c.provider AS provider,
  c.model AS model,
  c.calls AS calls,
  COALESCE(t.attempts, 0) AS attempts,
  COALESCE(t.rate_limited, 0) AS rate_limited,
  c.input_tokens AS input_tokens,
  c.output_tokens AS output_tokens,
  c.p50_s AS p50_s,
  c.p95_s AS p95_s,
  f.ttft_p50_s AS ttft_p50_s
FROM called AS c
LEFT JOIN tried AS t ON t.provider = c.provider AND t.model = c.model
LEFT JOIN first_chunks AS f ON f.provider = c.provider AND f.model = c.model
ORDER BY c.calls DESC, c.provider, c.model
