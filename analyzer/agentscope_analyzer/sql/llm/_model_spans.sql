-- Spans that are calls to models, as attribution tells them.
--
-- Some instrumentations count cached input beside the rest of the input and not in it; where there is
-- more of it than input, that is certain, and it is added.
-- Logfire's span for the rest of a streamed answer is not among them where it belongs to a call: what it
-- says is then said of the call.
-- @reads  spans, llm_rests
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
-- @column address VARCHAR            host that was called; NULL where unknown
-- @column is_client BOOLEAN          the span names its operation and says that it asked another process
WITH told AS (
  SELECT
    trace_id,
    span_id,
    parent_id,
    kind,
    provider,
    model,
    COALESCE(asked_model, model, '') AS asked_model,
    start_ns,
    end_ns,
    operation,
    streamed,
    first_chunk_s,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    reasoning_tokens,
    COALESCE(cache_read_tokens, 0) + COALESCE(cache_write_tokens, 0) AS cached_tokens,
    status,
    billing_code,
    resend_count,
    scope,
    response_id,
    server_address AS address
  FROM spans
  WHERE wait_kind IS NULL AND db_system IS NULL AND tool IS NULL AND runtime_event IS NULL
    AND (
      (kind <> 'SERVER' AND operation IN ('chat', 'text_completion', 'generate_content', 'embeddings'))
      OR (kind = 'CLIENT' AND operation IS NULL AND model IS NOT NULL)
    )
), calls AS (
  SELECT
    c.trace_id AS trace_id,
    c.span_id AS span_id,
    c.parent_id AS parent_id,
    c.provider AS provider,
    c.model AS model,
    c.asked_model AS asked_model,
    c.start_ns AS start_ns,
    COALESCE(r.end_ns, c.end_ns) AS end_ns,
    c.operation AS operation,
    COALESCE(c.streamed, CASE WHEN r.rest_id IS NOT NULL THEN TRUE END) AS streamed,
    COALESCE(c.first_chunk_s, CAST(r.start_ns - c.start_ns AS DOUBLE) / 1e9) AS first_chunk_s,
    COALESCE(c.input_tokens, r.input_tokens) AS input_tokens,
    COALESCE(c.output_tokens, r.output_tokens) AS output_tokens,
    COALESCE(c.cache_read_tokens, r.cache_read_tokens) AS cache_read_tokens,
    COALESCE(c.cache_write_tokens, r.cache_write_tokens) AS cache_write_tokens,
    COALESCE(c.reasoning_tokens, r.reasoning_tokens) AS reasoning_tokens,
    COALESCE(r.cached_tokens, c.cached_tokens) AS cached_tokens,
    c.status AS status,
    c.billing_code AS billing_code,
    c.resend_count AS resend_count,
    c.scope AS scope,
    c.response_id AS response_id,
    c.address AS address,
    c.kind AS kind
  FROM told AS c
  LEFT JOIN llm_rests AS r ON r.trace_id = c.trace_id AND r.span_id = c.span_id
  WHERE NOT EXISTS (
    SELECT 1 FROM llm_rests AS rest WHERE rest.trace_id = c.trace_id AND rest.rest_id = c.span_id
  )
)
SELECT
  trace_id,
  span_id,
  parent_id,
  COALESCE(provider, '') AS provider,
  COALESCE(model, '') AS model,
  asked_model,
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
  NULLIF(response_id, '') AS response_id,
  address,
  kind = 'CLIENT' AND operation IS NOT NULL AS is_client
FROM calls
