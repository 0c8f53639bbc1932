-- Logical calls to models.
--
-- Where one instrumentation nests a call in another's span for the same call, the outer one counts.
-- @reads  llm_model_spans
-- @column trace_id VARCHAR        trace
-- @column span_id VARCHAR         span of the call
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
  s.trace_id AS trace_id,
  s.span_id AS span_id,
  s.provider AS provider,
  s.model AS model,
  s.start_ns AS start_ns,
  s.end_ns AS end_ns,
  s.streamed AS streamed,
  s.first_chunk_s AS first_chunk_s,
  s.input_tokens AS input_tokens,
  s.output_tokens AS output_tokens,
  s.failed AS failed
FROM llm_model_spans AS s
LEFT JOIN llm_model_spans AS p ON p.trace_id = s.trace_id AND p.span_id = s.parent_id
WHERE p.span_id IS NULL
