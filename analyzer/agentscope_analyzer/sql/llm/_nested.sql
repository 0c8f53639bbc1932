-- Spans for calls to models that stand right below another span for a call.
--
-- Some instrumentations nest the call of a client in the call of a framework: one call, told twice.
-- @reads  llm_model_spans
-- @column trace_id VARCHAR    trace
-- @column span_id VARCHAR     the inner span
-- @column outer_id VARCHAR    the span that it stands below
SELECT m.trace_id AS trace_id, m.span_id AS span_id, p.span_id AS outer_id
FROM llm_model_spans AS m
JOIN llm_model_spans AS p ON p.trace_id = m.trace_id AND p.span_id = m.parent_id
