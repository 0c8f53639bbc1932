-- Logical calls to models.
--
-- Where one instrumentation nests calls in another's span for the same call, the outer one counts;
-- where their spans stand side by side, the one that leads. What it does not say is taken from the
-- others, summed over what one instrumentation recorded of the call.
-- @reads  llm_model_spans, llm_twins, llm_nested
-- @column trace_id VARCHAR           trace
-- @column span_id VARCHAR            span of the call
-- @column provider VARCHAR           provider, '' where unknown
-- @column model VARCHAR              model that answered, else the one asked for, '' where unknown
-- @column asked_model VARCHAR        model asked for, '' where unknown
-- @column start_ns BIGINT            start
-- @column end_ns BIGINT              end
-- @column embeds BOOLEAN             the call is for embeddings, which have no output
-- @column streamed BOOLEAN           the answer was streamed
-- @column first_chunk_s DOUBLE       time to the first chunk
-- @column input_tokens BIGINT        tokens read, cached ones included
-- @column output_tokens BIGINT       tokens written, reasoning included
-- @column cache_read_tokens BIGINT   of those read, tokens from the provider's cache
-- @column cache_write_tokens BIGINT  of those read, tokens put into the provider's cache
-- @column reasoning_tokens BIGINT    of those written, tokens of reasoning
-- @column failed BOOLEAN             the call failed
-- @column billing_code VARCHAR       why it was refused for money; NULL where it was not
-- @column resend_count INTEGER       how often it was sent again, where the span itself says so
WITH others AS (     -- spans for calls that another span stands for
  SELECT trace_id, span_id, call_id FROM llm_twins
  UNION ALL
  SELECT n.trace_id AS trace_id, n.span_id AS span_id, COALESCE(t.call_id, n.outer_id) AS call_id
  FROM llm_nested AS n
  LEFT JOIN llm_twins AS t ON t.trace_id = n.trace_id AND t.span_id = n.outer_id
), told AS (
  SELECT
    o.trace_id AS trace_id,
    o.call_id AS call_id,
    MAX(provider) AS provider,
    MAX(model) AS model,
    MAX(asked_model) AS asked_model,
    MAX(CAST(streamed AS INTEGER)) = 1 AS streamed,
    MAX(CASE WHEN first_chunk_s >= 0 AND first_chunk_s < 1e6
      THEN start_ns + CAST(round(first_chunk_s * 1e9) AS BIGINT) END) AS first_chunk_ns,
    CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
    CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
    CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(SUM(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
    CAST(SUM(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
    MAX(billing_code) AS billing_code,
    CAST(SUM(resend_count) AS INTEGER) AS resend_count
  FROM others AS o
  JOIN llm_model_spans AS m ON m.trace_id = o.trace_id AND m.span_id = o.span_id
  GROUP BY o.trace_id, o.call_id, m.scope
), joined AS (
  SELECT
    trace_id,
    call_id,
    MAX(provider) AS provider,
    MAX(model) AS model,
    MAX(asked_model) AS asked_model,
    MAX(CAST(streamed AS INTEGER)) = 1 AS streamed,
    MAX(first_chunk_ns) AS first_chunk_ns,
    MAX(input_tokens) AS input_tokens,
    MAX(output_tokens) AS output_tokens,
    MAX(cache_read_tokens) AS cache_read_tokens,
    MAX(cache_write_tokens) AS cache_write_tokens,
    MAX(reasoning_tokens) AS reasoning_tokens,
    MAX(billing_code) AS billing_code,
    MAX(resend_count) AS resend_count
  FROM told
  GROUP BY trace_id, call_id
)
SELECT
  s.trace_id AS trace_id,
  s.span_id AS span_id,
  CASE WHEN s.provider = '' THEN COALESCE(n.provider, '') ELSE s.provider END AS provider,
  CASE WHEN s.model = '' THEN COALESCE(n.model, '') ELSE s.model END AS model,
  CASE WHEN s.asked_model = '' THEN COALESCE(n.asked_model, '') ELSE s.asked_model END AS asked_model,
  s.start_ns AS start_ns,
  s.end_ns AS end_ns,
  s.embeds AS embeds,
  COALESCE(s.streamed, n.streamed) AS streamed,
  COALESCE(s.first_chunk_s, CAST(n.first_chunk_ns - s.start_ns AS DOUBLE) / 1e9) AS first_chunk_s,
  COALESCE(s.input_tokens, n.input_tokens) AS input_tokens,
  COALESCE(s.output_tokens, n.output_tokens) AS output_tokens,
  COALESCE(s.cache_read_tokens, n.cache_read_tokens) AS cache_read_tokens,
  COALESCE(s.cache_write_tokens, n.cache_write_tokens) AS cache_write_tokens,
  COALESCE(s.reasoning_tokens, n.reasoning_tokens) AS reasoning_tokens,
  s.failed AS failed,
  COALESCE(s.billing_code, n.billing_code) AS billing_code,
  COALESCE(s.resend_count, n.resend_count) AS resend_count
FROM llm_model_spans AS s
LEFT JOIN joined AS n ON n.trace_id = s.trace_id AND n.call_id = s.span_id
WHERE NOT EXISTS (
  SELECT 1 FROM others AS o WHERE o.trace_id = s.trace_id AND o.span_id = s.span_id
)
