-- Spans that Logfire writes for the rest of a streamed answer, each with the call that it belongs to.
--
-- Such a span is no call of its own: what it says belongs to the call whose answer began just before
-- it. One that belongs to no call is not among them: it stands for its call.
-- @reads  spans
-- @column trace_id VARCHAR           trace
-- @column rest_id VARCHAR            span of the rest
-- @column span_id VARCHAR            span of the call
-- @column start_ns BIGINT            when the rest began
-- @column end_ns BIGINT              when it ended
-- @column input_tokens BIGINT        tokens read
-- @column output_tokens BIGINT       tokens written
-- @column cache_read_tokens BIGINT   of those read, tokens from the provider's cache
-- @column cache_write_tokens BIGINT  of those read, tokens put into the provider's cache
-- @column reasoning_tokens BIGINT    of those written, tokens of reasoning
-- @column cached_tokens BIGINT       tokens read from the provider's cache or put into it, 0 where none
WITH logged AS (
  SELECT
    trace_id,
    span_id,
    parent_id,
    scope,
    COALESCE(asked_model, model, '') AS asked_model,
    start_ns,
    end_ns,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    reasoning_tokens,
    COALESCE(cache_read_tokens, 0) + COALESCE(cache_write_tokens, 0) AS cached_tokens,
    COALESCE(attrs['logfire.span_type'], '') = 'log' AS is_rest
  FROM spans
  WHERE starts_with(scope, 'logfire.')
    AND wait_kind IS NULL AND db_system IS NULL AND tool IS NULL AND runtime_event IS NULL
    AND (
      (kind <> 'SERVER' AND operation IN ('chat', 'text_completion', 'generate_content', 'embeddings'))
      OR (kind = 'CLIENT' AND operation IS NULL AND model IS NOT NULL)
    )
), pairs AS (       -- each rest with the calls before it, each call with the rests behind it
  SELECT
    r.*,
    c.span_id AS call_id,
    ROW_NUMBER() OVER (PARTITION BY r.trace_id, r.span_id ORDER BY c.end_ns DESC, c.span_id) AS of_rest,
    ROW_NUMBER() OVER (PARTITION BY c.trace_id, c.span_id ORDER BY r.start_ns, r.span_id) AS of_call
  FROM logged AS r
  JOIN logged AS c
    ON c.trace_id = r.trace_id AND c.parent_id = r.parent_id AND c.scope = r.scope
    AND c.asked_model = r.asked_model AND c.end_ns - 10000000 <= r.start_ns
    AND r.start_ns - 1000000000 <= c.end_ns
  WHERE r.is_rest AND NOT c.is_rest AND c.output_tokens IS NULL
)
SELECT
  trace_id,
  span_id AS rest_id,
  call_id AS span_id,
  start_ns,
  end_ns,
  input_tokens,
  output_tokens,
  cache_read_tokens,
  cache_write_tokens,
  reasoning_tokens,
  cached_tokens
FROM pairs
WHERE of_rest = 1 AND of_call = 1
