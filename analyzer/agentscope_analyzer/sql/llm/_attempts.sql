-- HTTP attempts of calls to models.
--
-- @reads  spans, llm_inferences
-- @column trace_id VARCHAR                trace
-- @column call_id VARCHAR                 span of the call that the attempt belongs to
-- @column provider VARCHAR                the call's provider
-- @column model VARCHAR                   the call's model
-- @column start_ns BIGINT                 start
-- @column end_ns BIGINT                   end
-- @column http_status INTEGER             status of the answer; NULL where none came
-- @column failed BOOLEAN                  no answer, or one of 400 and above
-- @column pooled BOOLEAN                  whoever recorded it also records waits for connections
-- @column attrs MAP(VARCHAR, VARCHAR)     attributes, response headers among them
SELECT
  a.trace_id AS trace_id,
  i.span_id AS call_id,
  i.provider AS provider,
  i.model AS model,
  a.start_ns AS start_ns,
  a.end_ns AS end_ns,
  a.http_status AS http_status,
  COALESCE(a.http_status >= 400, a.status = 'ERROR') AS failed,
  a.scope = 'agentscope' AS pooled,
  a.attrs AS attrs
FROM spans AS a
JOIN llm_inferences AS i ON i.trace_id = a.trace_id AND i.span_id = a.parent_id
WHERE a.kind = 'CLIENT' AND (a.http_method IS NOT NULL OR a.http_status IS NOT NULL)
