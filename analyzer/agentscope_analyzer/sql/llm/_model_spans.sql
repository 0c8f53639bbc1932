-- Spans that are calls to models, as attribution tells them.
--
-- @reads  spans
-- @column trace_id VARCHAR        trace
-- @column span_id VARCHAR         span of the call
-- @column parent_id VARCHAR       parent span, '' at roots
-- @column provider VARCHAR        provider, '' where unknown
-- @column model VARCHAR           model, '' where unknown
-- @column start_ns BIGINT         start
-- @column end_ns BIGINT           end
-- @column streamed BOOLEAN        the answer was streamed
-- @column first_chunk_s DOUBLE    time to the first chunk
-- @column input_tokens BIGINT     tokens read
-- @column output_tokens BIGINT    tokens written
-- @column failed BOOLEAN          the call failed
SELECT
  trace_id,
  span_id,
  parent_id,
  COALESCE(provider, '') AS provider,
  COALESCE(model, '') AS model,
  start_ns,
  end_ns,
  streamed,
  first_chunk_s,
  input_tokens,
  output_tokens,
  status = 'ERROR' AS failed
FROM spans
WHERE wait_kind IS NULL AND db_system IS NULL AND tool IS NULL AND runtime_event IS NULL
  AND (
    (kind <> 'SERVER' AND operation IN ('chat', 'text_completion', 'generate_content', 'embeddings'))
    OR (kind = 'CLIENT' AND operation IS NULL AND model IS NOT NULL)
  )
