-- Spans that are calls to models, as attribution tells them.
--
-- Some instrumentations count cached input beside the rest of the input and not in it; where there is
-- more of it than input, that is certain, and it is added.
-- @reads  spans
-- @column trace_id VARCHAR           trace
-- @column span_id VARCHAR            span of the call
-- @column parent_id VARCHAR          parent span, '' at roots
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
-- @column scope VARCHAR              instrumentation that recorded it
-- @column response_id VARCHAR        the provider's id of the answer; NULL where unknown
WITH calls AS (
  SELECT
    *,
    COALESCE(cache_read_tokens, 0) + COALESCE(cache_write_tokens, 0) AS cached_tokens
  FROM spans
  WHERE wait_kind IS NULL AND db_system IS NULL AND tool IS NULL AND runtime_event IS NULL
    AND (
      (kind <> 'SERVER' AND operation IN ('chat', 'text_completion', 'generate_content', 'embeddings'))
      OR (kind = 'CLIENT' AND operation IS NULL AND model IS NOT NULL)
    )
)
SELECT
  trace_id,
  span_id,
  parent_id,
  COALESCE(provider, '') AS provider,
  COALESCE(model, '') AS model,
  COALESCE(attrs['gen_ai.request.model'], model, '') AS asked_model,
  start_ns,
  end_ns,
  COALESCE(operation = 'embeddings', FALSE) AS embeds,
  streamed,
  first_chunk_s,
  CASE WHEN input_tokens < cached_tokens THEN input_tokens + cached_tokens ELSE input_tokens END
    AS input_tokens,
  output_tokens,
  cache_read_tokens,
  cache_write_tokens,
  reasoning_tokens,
  status = 'ERROR' AS failed,
  billing_code,
  resend_count,
  scope,
  NULLIF(attrs['gen_ai.response.id'], '') AS response_id
FROM calls
